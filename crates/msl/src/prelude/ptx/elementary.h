// Elementary functions without a C library: the GPU's own approximations of 2^x and log2 x with a correction where the
// argument's rounding would show, and polynomials where the GPU's are too coarse (sine and cosine of large angles).
#pragma once

inline float exp2f(float x) { return __nvvm_ex2_approx_f(x); }
inline float log2f(float x) { return __nvvm_lg2_approx_f(x); }
// x · log2 e is rounded; what the rounding left out is at most 2^-24 of the exponent and is put back to first order.
inline float expf(float x) {
    const float product = x * 0x1.715476p+0f;
    const float rest = __builtin_fmaf(x, 0x1.715476p+0f, -product) + x * 0x1.4ae0cp-26f;
    const float power = __nvvm_ex2_approx_f(product);
    const float result = __builtin_fmaf(power, rest * 0x1.62e43p-1f, power);
    // Beyond the range the rest is no number, or takes an infinity from itself; the power alone is right there.
    return power > 0.0f && power < __builtin_inff() ? result : power;
}
// Of a number and a NaN the number: one instruction each.
inline float msl_smaller(float x, float y) { return __builtin_fminf(x, y); }
inline float msl_larger(float x, float y) { return __builtin_fmaxf(x, y); }
// Within 1.1 units in the last place.
inline float msl_inverse_root(float x) { return __nvvm_rsqrt_approx_f(x); }
// What Metal's fast functions may leave out: e^x errs by 2 |x| units in the last place and has no subnormal numbers, a
// quotient errs by 2 units, and beyond 2^126 the divisor counts as infinite.
inline float msl_fast_exp(float x) { return __nvvm_ex2_approx_ftz_f(x * 0x1.715476p+0f); }
inline float msl_fast_divide(float x, float y) { return __nvvm_div_approx_f(x, y); }
// Mantissa and exponent; ln m = 2 artanh((m - 1) / (m + 1)) with m in [1/sqrt 2, sqrt 2), as a polynomial.
inline float logf(float x) {
    if (!(x > 0.0f) || x == __builtin_inff()) return x == 0.0f ? -__builtin_inff() : (x < 0.0f ? __builtin_nanf("") : x);
    float scaled = x;
    float exponent = 0.0f;
    if (x < 0x1p-126f) { scaled = x * 0x1p24f; exponent = -24.0f; }
    const uint bits = __builtin_bit_cast(uint, scaled);
    const int e = (int)(bits - 0x3f3504f3u) >> 23;
    exponent += (float)e;
    const float m = __builtin_bit_cast(float, bits - ((uint)e << 23));
    const float s = (m - 1.0f) / (m + 1.0f), z = s * s;
    const float tail = z * (0x1.5555554p-1f + z * (0x1.999999p-2f + z * (0x1.24924p-2f + z * (0x1.c71c7p-3f + z * 0x1.745dp-3f))));
    const float log_m = __builtin_fmaf(s, tail, 2.0f * s);
    return __builtin_fmaf(exponent, 0x1.62e4p-1f, __builtin_fmaf(exponent, 0x1.7f7d1cp-20f, log_m));
}
inline float log10f(float x) { return logf(x) * 0x1.bcb7b2p-2f; }

// An angle as a number of quarter turns and what is left of it, by Cody and Waite with three parts of pi / 2, each short
// enough that its product with up to 2^17 quarter turns is exact with fma; beyond that the rounding grows with the angle.
struct msl_quarter { float rest; int turns; };
inline msl_quarter msl_reduce(float x) {
    const float turns = __builtin_rintf(x * 0x1.45f306p-1f);
    float rest = __builtin_fmaf(turns, -0x1.921fb4p+0f, x);
    rest = __builtin_fmaf(turns, -0x1.4442d0p-24f, rest);
    rest = __builtin_fmaf(turns, -0x1.846988p-48f, rest);
    return {rest, (int)turns};
}
inline float msl_sine(float x) {
    const float z = x * x;
    return __builtin_fmaf(x * z, __builtin_fmaf(z, __builtin_fmaf(z, __builtin_fmaf(z, 0x1.5d38b6p-19f, -0x1.9f6c9ep-13f), 0x1.110df6p-7f), -0x1.55554cp-3f), x);
}
inline float msl_cosine(float x) {
    const float z = x * x;
    const float tail = __builtin_fmaf(z, __builtin_fmaf(z, __builtin_fmaf(z, 0x1.98e616p-16f, -0x1.6c06dcp-10f), 0x1.55553cp-5f), -0.5f);
    return __builtin_fmaf(tail, z, 1.0f);
}
inline float msl_sine_of(msl_quarter angle, int ahead) {
    const int turns = angle.turns + ahead;
    const float value = turns & 1 ? msl_cosine(angle.rest) : msl_sine(angle.rest);
    return turns & 2 ? -value : value;
}
inline float sinf(float x) { return msl_sine_of(msl_reduce(x), 0); }
inline float cosf(float x) { return msl_sine_of(msl_reduce(x), 1); }
inline float tanf(float x) { return sinf(x) / cosf(x); }

inline float msl_exp_minus_one(float x) {
    if (__builtin_fabsf(x) > 0.5f) return expf(x) - 1.0f;
    return x * (1.0f + x * (0x1p-1f + x * (0x1.555556p-3f + x * (0x1.555556p-5f + x * (0x1.111112p-7f + x * (0x1.6c16c2p-10f + x * 0x1.a01a02p-13f))))));
}
inline float tanhf(float x) {
    const float most = __builtin_fabsf(x);
    const float power = msl_exp_minus_one(-2.0f * (most < 10.0f ? most : 10.0f));
    return __builtin_copysignf(-power / (2.0f + power), x);
}
inline float sinhf(float x) { const float p = msl_exp_minus_one(__builtin_fabsf(x)); return __builtin_copysignf(0.5f * (p + p / (p + 1.0f)), x); }
inline float coshf(float x) { const float p = expf(__builtin_fabsf(x)); return 0.5f * (p + 1.0f / p); }
inline float powf(float x, float y) {
    const float size = __nvvm_ex2_approx_f(y * __nvvm_lg2_approx_f(__builtin_fabsf(x)));
    const bool whole = __builtin_rintf(y) == y, odd = whole && __builtin_fabsf(y) < 0x1p24f && ((int)y & 1);
    if (y == 0.0f) return 1.0f;
    return x < 0.0f ? (whole ? (odd ? -size : size) : __builtin_nanf("")) : size;
}
inline float fmodf(float x, float y) { return __builtin_fmaf(-__builtin_truncf(x / y), y, x); }
inline float ldexpf(float x, int exponent) {
    const int half_way = exponent / 2;
    const int first = half_way < -126 ? -126 : (half_way > 127 ? 127 : half_way);
    int second = exponent - first;
    second = second < -126 ? -126 : (second > 127 ? 127 : second);
    return x * __builtin_bit_cast(float, (uint)(first + 127) << 23) * __builtin_bit_cast(float, (uint)(second + 127) << 23);
}
inline float frexpf(float x, __private int* exponent) {
    if (x == 0.0f || !(__builtin_fabsf(x) < __builtin_inff())) { *exponent = 0; return x; }
    float scaled = x;
    int shift = 126;
    if (__builtin_fabsf(x) < 0x1p-126f) { scaled = x * 0x1p24f; shift = 150; }
    const uint bits = __builtin_bit_cast(uint, scaled);
    *exponent = (int)((bits >> 23) & 255) - shift;
    return __builtin_bit_cast(float, (bits & 0x807fffffu) | 0x3f000000u);
}
// Declared for the sake of the names: no kernel uses them, and one that did would not link.
float asinf(float);
float acosf(float);
float atanf(float);
float asinhf(float);
float acoshf(float);
float atanhf(float);
float atan2f(float, float);
float nextafterf(float, float);
