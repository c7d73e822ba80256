// Constants, and the limits of the number types.
#pragma once

#define INFINITY __builtin_inff()
#define HUGE_VALF __builtin_huge_valf()
#define NAN __builtin_nanf("")
#define FLT_MAX 3.402823466e+38f
#define FLT_MIN 1.175494351e-38f
#define FLT_EPSILON 1.192092896e-07f
#define FLT_DIG 6
#define FLT_MANT_DIG 24
#define MAXFLOAT FLT_MAX
#define HALF_MAX ((half)65504.0f)
#define HALF_MIN ((half)6.103515625e-05f)
#define HALF_EPSILON ((half)9.765625e-04f)
#define MAXHALF HALF_MAX
#define CHAR_BIT 8
#define SCHAR_MAX 127
#define SCHAR_MIN (-128)
#define CHAR_MAX 127
#define CHAR_MIN (-128)
#define UCHAR_MAX 255
#define SHRT_MAX 32767
#define SHRT_MIN (-32768)
#define USHRT_MAX 65535
#define INT_MAX 0x7fffffff
#define INT_MIN (-0x7fffffff - 1)
#define UINT_MAX 0xffffffffu
#define LONG_MAX 0x7fffffffffffffffl
#define LONG_MIN (-0x7fffffffffffffffl - 1)
#define ULONG_MAX 0xfffffffffffffffful
#define M_E_F 2.71828182845904523536f
#define M_LOG2E_F 1.44269504088896340736f
#define M_LOG10E_F 0.43429448190325182765f
#define M_LN2_F 0.69314718055994530942f
#define M_LN10_F 2.30258509299404568402f
#define M_PI_F 3.14159265358979323846f
#define M_PI_2_F 1.57079632679489661923f
#define M_PI_4_F 0.78539816339744830962f
#define M_1_PI_F 0.31830988618379067154f
#define M_2_PI_F 0.63661977236758134308f
#define M_2_SQRTPI_F 1.12837916709551257390f
#define M_SQRT2_F 1.41421356237309504880f
#define M_SQRT1_2_F 0.70710678118654752440f
#define M_E_H ((half)M_E_F)
#define M_PI_H ((half)M_PI_F)
#define M_SQRT1_2_H ((half)M_SQRT1_2_F)

namespace metal {
template <class T> struct numeric_limits;
#define MSL_FLOAT_LIMITS(T, smallest, largest, precision)                                     \
    template <> struct numeric_limits<T> {                                                    \
        static constexpr __constant bool is_signed = true, is_integer = false;                \
        static constexpr __constant bool has_infinity = true;                                 \
        static constexpr __constant int digits = precision;                                   \
        static constexpr T min() { return (T)(smallest); }                                    \
        static constexpr T max() { return (T)(largest); }                                     \
        static constexpr T lowest() { return (T)(-(largest)); }                               \
        static constexpr T epsilon() { return (T)(1.0f / (float)(1 << (precision - 1))); }    \
        static constexpr T infinity() { return (T)__builtin_inff(); }                         \
        static constexpr T quiet_NaN() { return (T)__builtin_nanf(""); }                      \
    };
#define MSL_INTEGER_LIMITS(T, smallest, largest, precision, sign)                             \
    template <> struct numeric_limits<T> {                                                    \
        static constexpr __constant bool is_signed = sign, is_integer = true;                 \
        static constexpr __constant bool has_infinity = false;                                \
        static constexpr __constant int digits = precision;                                   \
        static constexpr T min() { return smallest; }                                         \
        static constexpr T max() { return largest; }                                          \
        static constexpr T lowest() { return smallest; }                                      \
    };
MSL_FLOAT_LIMITS(float, FLT_MIN, FLT_MAX, 24)
MSL_FLOAT_LIMITS(half, 6.103515625e-05f, 65504.0f, 11)
MSL_FLOAT_LIMITS(bfloat, FLT_MIN, 3.3895313892515355e38f, 8)
MSL_INTEGER_LIMITS(bool, false, true, 1, false)
MSL_INTEGER_LIMITS(char, CHAR_MIN, CHAR_MAX, 7, true)
MSL_INTEGER_LIMITS(int8_t, SCHAR_MIN, SCHAR_MAX, 7, true)
MSL_INTEGER_LIMITS(uchar, 0, UCHAR_MAX, 8, false)
MSL_INTEGER_LIMITS(short, SHRT_MIN, SHRT_MAX, 15, true)
MSL_INTEGER_LIMITS(ushort, 0, USHRT_MAX, 16, false)
MSL_INTEGER_LIMITS(int, INT_MIN, INT_MAX, 31, true)
MSL_INTEGER_LIMITS(uint, 0, UINT_MAX, 32, false)
MSL_INTEGER_LIMITS(long, LONG_MIN, LONG_MAX, 63, true)
MSL_INTEGER_LIMITS(ulong, 0, ULONG_MAX, 64, false)
#undef MSL_FLOAT_LIMITS
#undef MSL_INTEGER_LIMITS
}
