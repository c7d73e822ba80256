// Functions of real numbers. What Metal's fast and precise variants may be off by is for a kernel's tolerance to allow.
#pragma once
#include "elementary.h"

namespace metal {
// What the namespaces fast and precise have too, there for float only.
#define MSL_MATH_1(M)                                                                              \
    M(exp2, exp2f(x)) M(exp10, powf(10.0f, x))                                                     \
    M(log, logf(x)) M(log2, log2f(x)) M(log10, log10f(x))                                          \
    M(sin, sinf(x)) M(cos, cosf(x)) M(tan, tanf(x)) M(asin, asinf(x)) M(acos, acosf(x))            \
    M(atan, atanf(x)) M(sinh, sinhf(x)) M(cosh, coshf(x)) M(tanh, tanhf(x)) M(asinh, asinhf(x))    \
    M(acosh, acoshf(x)) M(atanh, atanhf(x)) M(sqrt, __builtin_sqrtf(x))                            \
    M(rsqrt, msl_inverse_root(x)) M(sinpi, sinf(x * M_PI_F)) M(cospi, cosf(x * M_PI_F))            \
    M(tanpi, tanf(x * M_PI_F)) M(floor, __builtin_floorf(x)) M(ceil, __builtin_ceilf(x))           \
    M(trunc, __builtin_truncf(x)) M(rint, __builtin_rintf(x)) M(round, __builtin_roundf(x))        \
    M(fract, msl_fraction(x)) M(fabs, __builtin_fabsf(x)) M(abs, __builtin_fabsf(x))               \
    M(saturate, x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f)                                           \
    M(sign, x > 0.0f ? 1.0f : (x < 0.0f ? -1.0f : (x == 0.0f ? x : 0.0f)))
#define MSL_MATH_2(M)                                                                              \
    M(pow, powf(x, y)) M(powr, powf(x, y)) M(fmod, fmodf(x, y)) M(atan2, atan2f(x, y))             \
    M(copysign, __builtin_copysignf(x, y)) M(fdim, x > y ? x - y : 0.0f)          \
    M(fmin, msl_smaller(x, y)) M(fmax, msl_larger(x, y))                                           \
    M(min, msl_smaller(x, y)) M(max, msl_larger(x, y))
#define MSL_MATH_3(M)                                                                              \
    M(clamp, msl_smaller(msl_larger(x, y), z))                                                     \
    M(fmin3, msl_smaller(msl_smaller(x, y), z)) M(fmax3, msl_larger(msl_larger(x, y), z))          \
    M(min3, msl_smaller(msl_smaller(x, y), z)) M(max3, msl_larger(msl_larger(x, y), z))            \
    M(median3, msl_larger(msl_smaller(x, y), msl_smaller(msl_larger(x, y), z)))

inline float msl_fraction(float x) {
    const float fraction = x - __builtin_floorf(x);
    return fraction < 0x1.fffffep-1f ? fraction : 0x1.fffffep-1f;
}

MSL_BOTH_1(exp, expf(x))
MSL_BOTH_2(divide, x / y)
MSL_MATH_1(MSL_BOTH_1)
MSL_MATH_2(MSL_BOTH_2)
MSL_MATH_3(MSL_BOTH_3)
MSL_FLOAT_3(fma, __builtin_fmaf(x, y, z))
MSL_FLOAT_2(nextafter, nextafterf(x, y))

}
#include "half.h"
namespace metal {

#define MSL_SINCOS(T)                                                                  \
    inline T sincos(T x, thread T& cosine) {                                           \
        cosine = cos(x);                                                               \
        return sin(x);                                                                 \
    }
#define MSL_SINCOS_OF(T) MSL_SINCOS(T) MSL_SINCOS(T##2) MSL_SINCOS(T##3) MSL_SINCOS(T##4)
MSL_SINCOS_OF(float)
MSL_SINCOS_OF(half)
inline float ldexp(float x, int exponent) { return ldexpf(x, exponent); }
inline half ldexp(half x, int exponent) { return (half)ldexpf((float)x, exponent); }
inline float frexp(float x, thread int& exponent) { return frexpf(x, &exponent); }
inline float modf(float x, thread float& whole) {
    whole = __builtin_truncf(x);
    return x - whole;
}

#define MSL_TEST(name, expression)                                                     \
    inline bool name(float x) { return expression; }                                   \
    inline bool name(half a) { float x = (float)a; return expression; }                \
    template <class T, int N, enable_if_t<is_floating_point<T>::value, int> = 0>       \
    inline vec<bool, N> name(vec<T, N> a) {                                            \
        vec<bool, N> r;                                                                \
        MSL_EACH(N, r.components[i] = name(a.components[i]))                           \
        return r;                                                                      \
    }
MSL_TEST(isnan, x != x)
MSL_TEST(isinf, __builtin_fabsf(x) == __builtin_inff())
MSL_TEST(isfinite, __builtin_fabsf(x) < __builtin_inff())
MSL_TEST(signbit, __builtin_signbitf(x) != 0)
#undef MSL_TEST

namespace fast {
MSL_FLOAT_1(exp, msl_fast_exp(x))
MSL_FLOAT_2(divide, msl_fast_divide(x, y))
MSL_MATH_1(MSL_FLOAT_1)
MSL_MATH_2(MSL_FLOAT_2)
MSL_MATH_3(MSL_FLOAT_3)
using metal::sincos;
}
namespace precise {
MSL_FLOAT_1(exp, expf(x))
MSL_FLOAT_2(divide, x / y)
MSL_MATH_1(MSL_FLOAT_1)
MSL_MATH_2(MSL_FLOAT_2)
MSL_MATH_3(MSL_FLOAT_3)
using metal::sincos;
}
}
