// Packed vectors: aligned as their elements are, so that an array of packed_float3 has no gaps.
#pragma once

namespace metal {
template <class T, int N> struct msl_packed_members;
template <class T> struct msl_packed_members<T, 2> { union { T components[2]; struct { T x, y; }; }; };
template <class T> struct msl_packed_members<T, 3> { union { T components[3]; struct { T x, y, z; }; }; };
template <class T> struct msl_packed_members<T, 4> { union { T components[4]; struct { T x, y, z, w; }; }; };

template <class T, int N> struct packed_vec : msl_packed_members<T, N> {
    using msl_packed_members<T, N>::components;
    packed_vec() = default;
    packed_vec(const vec<T, N>& v) { MSL_EACH(N, components[i] = v.components[i]) }
    template <class S, msl_if_scalar<S> = 0> packed_vec(S s) : packed_vec(vec<T, N>(s)) {}
    template <class... S, enable_if_t<sizeof...(S) == N, int> = 0> packed_vec(S... s) : packed_vec(vec<T, N>((T)s...)) {}
    operator vec<T, N>() const {
        vec<T, N> v;
        MSL_EACH(N, v.components[i] = components[i])
        return v;
    }
    template <class U, enable_if_t<!__is_same(U, T), int> = 0> explicit operator vec<U, N>() const {
        return vec<U, N>((vec<T, N>)*this);
    }
    T& operator[](uint i) { return components[i]; }
    const T& operator[](uint i) const { return components[i]; }
};
}

#define MSL_PACKED_NAMES(T)                            \
    typedef metal::packed_vec<T, 2> packed_##T##2;      \
    typedef metal::packed_vec<T, 3> packed_##T##3;      \
    typedef metal::packed_vec<T, 4> packed_##T##4;      \
    namespace metal { using ::packed_##T##2; using ::packed_##T##3; using ::packed_##T##4; }
MSL_PACKED_NAMES(float) MSL_PACKED_NAMES(half) MSL_PACKED_NAMES(bfloat)
MSL_PACKED_NAMES(char) MSL_PACKED_NAMES(short) MSL_PACKED_NAMES(int) MSL_PACKED_NAMES(long)
MSL_PACKED_NAMES(uchar) MSL_PACKED_NAMES(ushort) MSL_PACKED_NAMES(uint) MSL_PACKED_NAMES(ulong)
#undef MSL_PACKED_NAMES
