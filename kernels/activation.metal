// Activations, alone or as the gate of a feed-forward block.
//
//   gated_<name>   out[r][i] = activation(gate[r][i]) · up[r][i]
//   gated_half_<name>  the same as f16 for the matrix unit, with a power of two (common/half_rows.h)
//   <name>         out[r][i] = activation(input[r][i])        in place where both are the same slice
//
//   silu           x · sigmoid(x)                                              swiglu
//   gelu_tanh      x / 2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))              geglu
//   gelu_erf       x / 2 · (1 + erf(x / √2))
//   relu_squared   max(x, 0)²
//   clamped_silu   min(x, 7) · sigmoid(1.702 · min(x, 7)), and its factor is clamp(up, ±7) + 1: only as a gate (gpt-oss)
//
// Rows are f32. `gate` and `up` may be two halves of one matrix product's rows: their rows begin `gate_stride` and
// `up_stride` elements apart.
//
// Thread map: a thread computes a quad (four neighbours of one row, 16-byte loads); x counts quads, y rows.
//
// Bytes: 8·rows·width read (4 without a gate), 4·rows·width written: all of them bound by memory.
//
// Numerics: f32. exp and the division are precise:: since the fast exp loses the small results of large negative x; those
// of gated_half are fast::, whose errors of about 2^-17 the rounding to f16 hides. (A row is one threadgroup's there, so that
// its arithmetic takes about as long as its memory.)
// Where exp(-x) is infinite the result is x / ∞ = -0, which is right. tanh is written as a sigmoid:
// (1 + tanh u) / 2 = sigmoid(2u), so one exp serves. Metal has no erf; see `error_function` below.
//
// Twins: wootz_gpu::twins::activation; silu: wootz_backend::cpu::reference::gate_up.
#include <metal_stdlib>
#include "arguments.h"
using namespace metal;
#include "common/half_rows.h"
#include "common/silu.h"

template <typename Functions>
inline float4 sigmoid(float4 x) { return Functions::divide(float4(1.0f), 1.0f + Functions::exp(-x)); }

// Abramowitz and Stegun, formula 7.1.26: within 1.5e-7 of erf(x), before rounding.
inline float4 error_function(float4 x) {
    const float4 t = 1.0f / (1.0f + 0.3275911f * fabs(x));
    const float4 polynomial =
        t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
    return copysign(1.0f - polynomial * precise::exp(-x * x), x);
}

template <typename Functions>
struct GeluTanh {
    // 2·√(2/π) = 1.5957691…
    static float4 apply(float4 x) { return x * sigmoid<Functions>(1.5957691216f * (x + 0.044715f * x * x * x)); }
    static float4 factor(float4 up) { return up; }
};

struct GeluErf {
    static float4 apply(float4 x) { return 0.5f * x * (1.0f + error_function(x * 0.70710678118f)); }
    static float4 factor(float4 up) { return up; }
};

struct ReluSquared {
    static float4 apply(float4 x) {
        const float4 positive = max(x, float4(0.0f));
        return positive * positive;
    }
    static float4 factor(float4 up) { return up; }
};

template <typename Functions>
struct ClampedSilu {
    static float4 apply(float4 x) {
        const float4 low = min(x, float4(7.0f));
        return low * sigmoid<Functions>(1.702f * low);
    }
    static float4 factor(float4 up) { return clamp(up, float4(-7.0f), float4(7.0f)) + 1.0f; }
};

template <typename Activation>
kernel void gated(
    device const float* gate            [[buffer(0)]],
    device const float* up              [[buffer(1)]],
    device float* out                   [[buffer(2)]],   // [rows, width]
    constant ActivationArguments& args  [[buffer(3)]],
    uint2 place [[thread_position_in_grid]])             // quad, row
{
    const uint width = args.width;
    if (place.x >= quads_of(width)) return;
    const float4 x = load_quad(gate + ulong(place.y) * args.gate_stride, place.x, width);
    const float4 y = load_quad(up + ulong(place.y) * args.up_stride, place.x, width);
    store_quad(out + ulong(place.y) * width, place.x, width, Activation::apply(x) * Activation::factor(y));
}

// Grid: a threadgroup a row, whose greatest magnitude has to be known before the first number is rounded: it is kept in
// registers, or computed again.
template <typename Activation>
[[max_total_threads_per_threadgroup(1024)]]
kernel void gated_half(
    device const float* gate            [[buffer(0)]],
    device const float* up              [[buffer(1)]],
    device half* halves                 [[buffer(2)]],   // [rows, width]
    device float* inverse               [[buffer(3)]],   // [rows]
    constant ActivationArguments& args  [[buffer(4)]],
    uint row        [[threadgroup_position_in_grid]],
    uint index      [[thread_index_in_threadgroup]],
    uint threads    [[threads_per_threadgroup]],
    uint lane       [[thread_index_in_simdgroup]],
    uint simdgroup  [[simdgroup_index_in_threadgroup]],
    uint simdgroups [[simdgroups_per_threadgroup]])
{
    constexpr uint KEPT = 4;
    threadgroup float partial[32];
    const Team team = {index, threads, lane, simdgroup, simdgroups};
    const uint width = args.width, quads = quads_of(width);
    gate += ulong(row) * args.gate_stride;
    up += ulong(row) * args.up_stride;
    halves += ulong(row) * width;
    float4 kept[KEPT], factors[KEPT];
    if (whole_vectors(gate, width) && whole_vectors(up, width)) {
        load_quads<KEPT, true>(gate, index, threads, width, kept);
        load_quads<KEPT, true>(up, index, threads, width, factors);
    } else {
        load_quads<KEPT, false>(gate, index, threads, width, kept);
        load_quads<KEPT, false>(up, index, threads, width, factors);
    }
    float most = 0.0f;
    for (uint k = 0; k < KEPT; k++) {   // behind the end are zeros, of which every activation makes 0, or the last quad again
        kept[k] = Activation::apply(kept[k]) * Activation::factor(factors[k]);
        most = max(most, greatest_of(kept[k]));
    }
    for (uint quad = KEPT * threads + index; quad < quads; quad += threads) {
        const float4 product = Activation::apply(load_quad(gate, quad, width)) * Activation::factor(load_quad(up, quad, width));
        most = max(most, greatest_of(within_row(product, quad, width)));
    }
    const float scale = half_scale(team_max(most, partial, team));
    if (index == 0) inverse[row] = 1.0f / scale;
    for (uint k = 0; k < KEPT; k++) {
        const uint quad = k * threads + index;
        if (quad < quads) store_half_quad(halves, quad, width, kept[k] * scale);
    }
    for (uint quad = KEPT * threads + index; quad < quads; quad += threads) {
        const float4 product = Activation::apply(load_quad(gate, quad, width)) * Activation::factor(load_quad(up, quad, width));
        store_half_quad(halves, quad, width, product * scale);
    }
}

template <typename Activation>
kernel void plain(
    device const float* input           [[buffer(0)]],
    device float* out                   [[buffer(1)]],   // [rows, width]
    constant ActivationArguments& args  [[buffer(2)]],
    uint2 place [[thread_position_in_grid]])             // quad, row
{
    const uint width = args.width;
    if (place.x >= quads_of(width)) return;
    const float4 x = load_quad(input + ulong(place.y) * args.gate_stride, place.x, width);
    store_quad(out + ulong(place.y) * width, place.x, width, Activation::apply(x));
}

template [[host_name("gated_silu")]] kernel decltype(gated<Silu<Precise>>) gated<Silu<Precise>>;
template [[host_name("gated_gelu_tanh")]] kernel decltype(gated<GeluTanh<Precise>>) gated<GeluTanh<Precise>>;
template [[host_name("gated_gelu_erf")]] kernel decltype(gated<GeluErf>) gated<GeluErf>;
template [[host_name("gated_relu_squared")]] kernel decltype(gated<ReluSquared>) gated<ReluSquared>;
template [[host_name("gated_clamped_silu")]] kernel decltype(gated<ClampedSilu<Precise>>) gated<ClampedSilu<Precise>>;
template [[host_name("gated_half_silu")]] kernel decltype(gated_half<Silu<Fast>>) gated_half<Silu<Fast>>;
template [[host_name("gated_half_gelu_tanh")]] kernel decltype(gated_half<GeluTanh<Fast>>) gated_half<GeluTanh<Fast>>;
template [[host_name("gated_half_gelu_erf")]] kernel decltype(gated_half<GeluErf>) gated_half<GeluErf>;
template [[host_name("gated_half_relu_squared")]] kernel decltype(gated_half<ReluSquared>) gated_half<ReluSquared>;
template [[host_name("gated_half_clamped_silu")]] kernel decltype(gated_half<ClampedSilu<Fast>>) gated_half<ClampedSilu<Fast>>;
template [[host_name("silu")]] kernel decltype(plain<Silu<Precise>>) plain<Silu<Precise>>;
template [[host_name("gelu_tanh")]] kernel decltype(plain<GeluTanh<Precise>>) plain<GeluTanh<Precise>>;
template [[host_name("gelu_erf")]] kernel decltype(plain<GeluErf>) plain<GeluErf>;
template [[host_name("relu_squared")]] kernel decltype(plain<ReluSquared>) plain<ReluSquared>;
