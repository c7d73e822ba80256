// Functions of vectors as a whole.
#pragma once

namespace metal {
#define MSL_GEOMETRY(T, N)                                                              \
    inline T dot(vec<T, N> a, vec<T, N> b) {                                            \
        T sum = a.components[0] * b.components[0];                                      \
        for (int i = 1; i < N; i++) sum += a.components[i] * b.components[i];           \
        return sum;                                                                     \
    }                                                                                   \
    inline T length_squared(vec<T, N> a) { return dot(a, a); }                          \
    inline T length(vec<T, N> a) { return sqrt(dot(a, a)); }                            \
    inline T distance(vec<T, N> a, vec<T, N> b) { return length(a - b); }               \
    inline T distance_squared(vec<T, N> a, vec<T, N> b) { return dot(a - b, a - b); }   \
    inline vec<T, N> normalize(vec<T, N> a) { return a * rsqrt(dot(a, a)); }
#define MSL_GEOMETRIES(T)                                                               \
    MSL_GEOMETRY(T, 2) MSL_GEOMETRY(T, 3) MSL_GEOMETRY(T, 4)                            \
    inline vec<T, 3> cross(vec<T, 3> a, vec<T, 3> b) {                                  \
        return vec<T, 3>(a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x); \
    }
MSL_GEOMETRIES(float)
MSL_GEOMETRIES(half)
#undef MSL_GEOMETRIES
#undef MSL_GEOMETRY
}
