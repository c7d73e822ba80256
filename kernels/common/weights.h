// What a packet of a matrix is unpacked to, and how it is multiplied: the inner part of common/gemv.h.
#pragma once

// A part of integers under one scale: scale · q, where q is exact in f16. Apple GPUs take f16 as an operand of f32
// arithmetic without a conversion, and it halves the registers.
template <uint COUNT>
struct ScaledWeights {
    half4 q[COUNT];
    float scale;
};

// scale · q - minimum.
template <uint COUNT>
struct ShiftedWeights {
    half4 q[COUNT];
    float scale;
    float minimum;
};

// A part of weights as they are.
template <uint COUNT>
struct FloatWeights {
    float4 w[COUNT];
};

template <uint COUNT, typename Weights>
inline float half_dot(thread const Weights& weights, thread const float4* x) {
    float dot = 0.0f;
    for (uint i = 0; i < COUNT; i++) {
        const float4 w = float4(weights.q[i]);
        dot = fma(w.x, x[i].x, dot);
        dot = fma(w.y, x[i].y, dot);
        dot = fma(w.z, x[i].z, dot);
        dot = fma(w.w, x[i].w, dot);
    }
    return dot;
}

// sum + weights · x. `total` is the sum of x: each product of the minimum with an x would be the same number times x.
template <uint COUNT>
inline float add_products(thread const ScaledWeights<COUNT>& weights, thread const float4* x, float total, float sum) {
    return fma(weights.scale, half_dot<COUNT>(weights, x), sum);
}

template <uint COUNT>
inline float add_products(thread const ShiftedWeights<COUNT>& weights, thread const float4* x, float total, float sum) {
    return fma(weights.scale, half_dot<COUNT>(weights, x), fma(-weights.minimum, total, sum));
}

template <uint COUNT>
inline float add_products(thread const FloatWeights<COUNT>& weights, thread const float4* x, float total, float sum) {
    for (uint i = 0; i < COUNT; i++) {
        const float4 w = weights.w[i];
        sum = fma(w.x, x[i].x, sum);
        sum = fma(w.y, x[i].y, sum);
        sum = fma(w.z, x[i].z, sum);
        sum = fma(w.w, x[i].w, sum);
    }
    return sum;
}
