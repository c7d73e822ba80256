// What the four lanes of a quad do together: lanes 0 to 3, 4 to 7 and so on of a simdgroup.
#pragma once

namespace metal {
// Shifted beyond its quad, a lane keeps its own value.
inline int msl_in_quad(int me, int lane) { return (lane & ~3) == (me & ~3) ? lane : me; }
MSL_SHUFFLE(quad_shuffle, (me & ~3) | ((int)n & 3))
MSL_SHUFFLE(quad_shuffle_xor, (me & ~3) | ((me ^ (int)n) & 3))
MSL_SHUFFLE(quad_shuffle_down, msl_in_quad(me, me + (int)n))
MSL_SHUFFLE(quad_shuffle_up, msl_in_quad(me, me - (int)n))
MSL_SHUFFLE(quad_broadcast, (me & ~3) | ((int)n & 3))
MSL_SHUFFLE(quad_shuffle_rotate_down, (me & ~3) | ((me + (int)n) & 3))
MSL_SHUFFLE(quad_shuffle_rotate_up, (me & ~3) | ((me - (int)n) & 3))
#undef MSL_SHUFFLE

#define MSL_QUAD_REDUCE(name, if_type, expression)                                                \
    template <class T, class V = msl_value_t<T>, if_type<V> = 0> inline V name(T value) {         \
        V a = value;                                                                              \
        for (ushort distance = 2; distance > 0; distance >>= 1) {                                 \
            const V b = quad_shuffle_xor(a, distance);                                            \
            a = (V)(expression);                                                                  \
        }                                                                                         \
        return a;                                                                                 \
    }
MSL_QUAD_REDUCE(quad_sum, msl_if_simd, a + b)
MSL_QUAD_REDUCE(quad_product, msl_if_simd, a * b)
MSL_QUAD_REDUCE(quad_max, msl_if_simd, max(a, b))
MSL_QUAD_REDUCE(quad_min, msl_if_simd, min(a, b))
MSL_QUAD_REDUCE(quad_and, msl_if_simd_integer, a & b)
MSL_QUAD_REDUCE(quad_or, msl_if_simd_integer, a | b)
MSL_QUAD_REDUCE(quad_xor, msl_if_simd_integer, a ^ b)
#undef MSL_QUAD_REDUCE
inline bool quad_all(bool yes) { return quad_and((uint)yes) != 0; }
inline bool quad_any(bool yes) { return quad_or((uint)yes) != 0; }
}
