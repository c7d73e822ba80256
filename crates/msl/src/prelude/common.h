// Functions that exist for numbers of every kind.
#pragma once

namespace metal {
MSL_INTEGERS(MSL_DEFINE_2, min, y < x ? y : x)
MSL_INTEGERS(MSL_DEFINE_2, max, x < y ? y : x)
MSL_INTEGERS(MSL_DEFINE_3, clamp, x < y ? y : (z < x ? z : x))
MSL_INTEGERS(MSL_DEFINE_3, min3, x < y ? (x < z ? x : z) : (y < z ? y : z))
MSL_INTEGERS(MSL_DEFINE_3, max3, y < x ? (z < x ? x : z) : (z < y ? y : z))
MSL_DEFINE_1(char, char, abs, x < 0 ? -x : x)
MSL_DEFINE_1(short, short, abs, x < 0 ? -x : x)
MSL_DEFINE_1(int, int, abs, x < 0 ? -x : x)
MSL_DEFINE_1(long, long, abs, x < 0 ? -x : x)
MSL_BOTH_2(step, y < x ? 0.0f : 1.0f)
inline float msl_smoothstep(float x, float y, float z) {
    const float t = saturate((z - x) / (y - x));
    return t * t * (3.0f - 2.0f * t);
}
MSL_BOTH_3(smoothstep, msl_smoothstep(x, y, z))
MSL_BOTH_3(mix, x + (y - x) * z)
inline float2 mix(float2 x, float2 y, float a) { return mix(x, y, float2(a)); }
inline float3 mix(float3 x, float3 y, float a) { return mix(x, y, float3(a)); }
inline float4 mix(float4 x, float4 y, float a) { return mix(x, y, float4(a)); }

// `c ? b : a`, for vectors component by component.
template <class T, msl_if_scalar<T> = 0> inline T select(T a, T b, bool c) { return c ? b : a; }
template <class T, int N> inline vec<T, N> select(vec<T, N> a, vec<T, N> b, vec<bool, N> c) {
    MSL_EACH(N, a.components[i] = c.components[i] ? b.components[i] : a.components[i])
    return a;
}
template <class T, int N> inline vec<T, N> select(vec<T, N> a, vec<T, N> b, bool c) { return c ? b : a; }
inline float select(float a, float b, bool c) { return c ? b : a; }
inline half select(half a, half b, bool c) { return c ? b : a; }

#define MSL_ANY_ALL(N)                                                         \
    inline bool any(vec<bool, N> v) {                                          \
        bool r = false;                                                        \
        MSL_EACH(N, r = r || v.components[i])                                  \
        return r;                                                              \
    }                                                                          \
    inline bool all(vec<bool, N> v) {                                          \
        bool r = true;                                                         \
        MSL_EACH(N, r = r && v.components[i])                                  \
        return r;                                                              \
    }
MSL_ANY_ALL(2) MSL_ANY_ALL(3) MSL_ANY_ALL(4)
#undef MSL_ANY_ALL
inline bool any(bool b) { return b; }
inline bool all(bool b) { return b; }

template <class T, size_t N> struct array {
    T elements[N];
    T& operator[](size_t i) { return elements[i]; }
    const T& operator[](size_t i) const { return elements[i]; }
    constexpr size_t size() const { return N; }
};
}
