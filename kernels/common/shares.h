// Which logits there are, and shares of probability as integers that add up exactly.
//
// Integer sums don't depend on their order: any number of threads gets the same mass, and no compiler's idea of
// floating-point arithmetic can change it.
#pragma once
#include "common/order.h"

// The key of minus infinity: tokens with this key or a lower one are impossible.
constant constexpr uint KEY_IMPOSSIBLE = 0x007fffffu;

// Whether a logit is NaN or plus infinity: seen in its bits, since a compiler may take it that there are none.
inline bool is_broken(float logit) {
    const uint bits = as_type<uint>(logit);
    return bits == 0x7f800000u || (bits & 0x7fffffffu) > 0x7f800000u;
}

// exp(x) for x <= 0 within 2e-7 of it, 0 from -87 on: the polynomial of the engine's sampler, in its order. Where the
// compiler fuses multiply and add the two differ by a unit in the last place.
inline float share_exp(float x) {
    const float clamped = x > -87.0f ? x : -87.0f;
    const float power = rint(clamped * 1.44269504088896340736f);
    const float r = clamped - power * 0.6933594f - power * -2.1219444e-4f;
    const float high = 1.0f / 24.0f + r * (1.0f / 120.0f + r * (1.0f / 720.0f + r * (1.0f / 5040.0f)));
    const float polynomial = 1.0f + r * (1.0f + r * (0.5f + r * (1.0f / 6.0f + r * high)));
    const float scale = as_type<float>(uint(int(power) + 127) << 23);
    return x > -87.0f ? polynomial * scale : 0.0f;
}

// A share of at most 16 in units of 2^-44, rounded down: 2^20 shares of at most 1 fit in 64 bits. Both products are by powers of two, so nothing else rounds.
inline ulong fixed_share(float share) {
    const float whole = share * 1048576.0f;
    const uint high = uint(whole);
    const uint low = uint((whole - float(high)) * 16777216.0f);
    return (ulong(high) << 24) + low;
}

// The mass of the 16 logits at `logits`: a tree in f32, as the engine's `passes::mass`.
inline ulong chunk_mass(device const float* logits, float best, float scale) {
    float4 quads[4];
    if (whole_vectors(logits, 16)) load_quads<4, true>(logits, 0, 1, 16, quads);
    else load_quads<4, false>(logits, 0, 1, 16, quads);
    float4 term[4];
    for (uint quad = 0; quad < 4; quad++) {
        const float4 x = (quads[quad] - best) * scale;
        term[quad] = float4(share_exp(x.x), share_exp(x.y), share_exp(x.z), share_exp(x.w));
    }
    const float4 four = (term[0] + term[2]) + (term[1] + term[3]);
    return fixed_share((four.x + four.z) + (four.y + four.w));
}
