// Swizzles: `v.xy`, `v.wzyx`, as members of a vector's union.
#pragma once

namespace metal {
template <class T, int N> struct vec;
}

// Components A, B, C and D of N; -1 for none. It lies on top of the vector's components and holds nothing itself.
template <class V, class T, int N, int A, int B, int C = -1, int D = -1> struct msl_swizzle {
    T all[N];

    constexpr V get() const {
        V v;
        v.components[0] = all[A];
        v.components[1] = all[B];
        if constexpr (C >= 0) v.components[2] = all[C];
        if constexpr (D >= 0) v.components[3] = all[D];
        return v;
    }
    constexpr operator V() const { return get(); }
    constexpr void set(const V& v) {
        static_assert(A != B && (C < 0 || (C != A && C != B)) && (D < 0 || (D != A && D != B && D != C)),
                      "a swizzle that names a component twice cannot be assigned to");
        all[A] = v.components[0];
        all[B] = v.components[1];
        if constexpr (C >= 0) all[C] = v.components[2];
        if constexpr (D >= 0) all[D] = v.components[3];
    }
    // Assigning `v.xy = v.yx` reads both components before it writes one.
    msl_swizzle& operator=(const V& other) { set(V(other)); return *this; }
    msl_swizzle& operator=(const msl_swizzle& other) { set(other.get()); return *this; }
    T operator[](uint i) const { return get()[i]; }
#define MSL_ASSIGN(op) msl_swizzle& operator op##=(const V& other) { set(get() op other); return *this; }
    MSL_ASSIGN(+) MSL_ASSIGN(-) MSL_ASSIGN(*) MSL_ASSIGN(/) MSL_ASSIGN(|) MSL_ASSIGN(&) MSL_ASSIGN(^)
#undef MSL_ASSIGN
};

// The lowering defines MSL_SWIZZLES_2, _3 and _4 with the swizzles of the source, as X(name, highest, components…).
// A vector of N components has those whose highest component is below N.
#define MSL_DECLARE_2(name, a, b) msl_swizzle<vec<T, 2>, T, N_, a, b> name;
#define MSL_DECLARE_3(name, a, b, c) msl_swizzle<vec<T, 3>, T, N_, a, b, c> name;
#define MSL_DECLARE_4(name, a, b, c, d) msl_swizzle<vec<T, 4>, T, N_, a, b, c, d> name;
#define MSL_ALWAYS(M, ...) M(__VA_ARGS__)
#define MSL_NEVER(M, ...)
#define MSL_OF_2_0 MSL_ALWAYS
#define MSL_OF_2_1 MSL_ALWAYS
#define MSL_OF_2_2 MSL_NEVER
#define MSL_OF_2_3 MSL_NEVER
#define MSL_OF_3_0 MSL_ALWAYS
#define MSL_OF_3_1 MSL_ALWAYS
#define MSL_OF_3_2 MSL_ALWAYS
#define MSL_OF_3_3 MSL_NEVER
#define MSL_OF_4_0 MSL_ALWAYS
#define MSL_OF_4_1 MSL_ALWAYS
#define MSL_OF_4_2 MSL_ALWAYS
#define MSL_OF_4_3 MSL_ALWAYS
#define MSL_2_OF_2(name, highest, ...) MSL_OF_2_##highest(MSL_DECLARE_2, name, __VA_ARGS__)
#define MSL_3_OF_2(name, highest, ...) MSL_OF_2_##highest(MSL_DECLARE_3, name, __VA_ARGS__)
#define MSL_4_OF_2(name, highest, ...) MSL_OF_2_##highest(MSL_DECLARE_4, name, __VA_ARGS__)
#define MSL_2_OF_3(name, highest, ...) MSL_OF_3_##highest(MSL_DECLARE_2, name, __VA_ARGS__)
#define MSL_3_OF_3(name, highest, ...) MSL_OF_3_##highest(MSL_DECLARE_3, name, __VA_ARGS__)
#define MSL_4_OF_3(name, highest, ...) MSL_OF_3_##highest(MSL_DECLARE_4, name, __VA_ARGS__)
#define MSL_2_OF_4(name, highest, ...) MSL_OF_4_##highest(MSL_DECLARE_2, name, __VA_ARGS__)
#define MSL_3_OF_4(name, highest, ...) MSL_OF_4_##highest(MSL_DECLARE_3, name, __VA_ARGS__)
#define MSL_4_OF_4(name, highest, ...) MSL_OF_4_##highest(MSL_DECLARE_4, name, __VA_ARGS__)
#define MSL_SWIZZLES_OF(N) MSL_SWIZZLES_2(MSL_2_OF_##N) MSL_SWIZZLES_3(MSL_3_OF_##N) MSL_SWIZZLES_4(MSL_4_OF_##N)
