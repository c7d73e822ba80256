// Elementary functions: the C library computes them, to about half a unit in the last place.
#pragma once

extern "C" {
float expf(float);
float exp2f(float);
float logf(float);
float log2f(float);
float log10f(float);
float sinf(float);
float cosf(float);
float tanf(float);
float asinf(float);
float acosf(float);
float atanf(float);
float sinhf(float);
float coshf(float);
float tanhf(float);
float asinhf(float);
float acoshf(float);
float atanhf(float);
float powf(float, float);
float fmodf(float, float);
float atan2f(float, float);
float ldexpf(float, int);
float frexpf(float, __private int*);
float nextafterf(float, float);
}

// What a fast function may leave out, none of which a processor would be faster for.
inline float msl_fast_exp(float x) { return expf(x); }
inline float msl_fast_divide(float x, float y) { return x / y; }

inline float msl_inverse_root(float x) { return 1.0f / __builtin_sqrtf(x); }

// Of a number and a NaN the number.
inline float msl_smaller(float x, float y) { return y < x || x != x ? y : x; }
inline float msl_larger(float x, float y) { return x < y || x != x ? y : x; }
