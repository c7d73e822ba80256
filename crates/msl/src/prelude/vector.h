// Vectors of two, three and four components.
#pragma once

namespace metal {
// Operators work component by component. A scalar beside a vector becomes a vector of that scalar.
#define MSL_EACH(N, ...) for (int i = 0; i < N; i++) { __VA_ARGS__; }
#define MSL_VECTOR_OPERATOR(N, op)                                                                      \
    friend constexpr vec operator op(const vec& a, const vec& b) {                                      \
        vec r;                                                                                          \
        MSL_EACH(N, r.components[i] = (T)(a.components[i] op b.components[i]))                          \
        return r;                                                                                       \
    }                                                                                                   \
    constexpr vec& operator op##=(const vec& b) { return *this = *this op b; }
#define MSL_VECTOR_COMPARISON(N, op)                                                                    \
    friend constexpr vec<bool, N> operator op(const vec& a, const vec& b) {                             \
        vec<bool, N> r;                                                                                 \
        MSL_EACH(N, r.components[i] = (a.components[i] op b.components[i]))                             \
        return r;                                                                                       \
    }
#define MSL_VECTOR_UNARY(N, op)                                                                         \
    friend constexpr vec operator op(const vec& a) {                                                    \
        vec r;                                                                                          \
        MSL_EACH(N, r.components[i] = (T)(op a.components[i]))                                          \
        return r;                                                                                       \
    }
#define MSL_VECTOR_OPERATORS(N)                                                                         \
    MSL_VECTOR_OPERATOR(N, +) MSL_VECTOR_OPERATOR(N, -) MSL_VECTOR_OPERATOR(N, *)                       \
    MSL_VECTOR_OPERATOR(N, /) MSL_VECTOR_OPERATOR(N, %) MSL_VECTOR_OPERATOR(N, &)                       \
    MSL_VECTOR_OPERATOR(N, |) MSL_VECTOR_OPERATOR(N, ^) MSL_VECTOR_OPERATOR(N, <<)                      \
    MSL_VECTOR_OPERATOR(N, >>)                                                                          \
    MSL_VECTOR_COMPARISON(N, <) MSL_VECTOR_COMPARISON(N, >) MSL_VECTOR_COMPARISON(N, <=)                \
    MSL_VECTOR_COMPARISON(N, >=) MSL_VECTOR_COMPARISON(N, ==) MSL_VECTOR_COMPARISON(N, !=)              \
    MSL_VECTOR_COMPARISON(N, &&) MSL_VECTOR_COMPARISON(N, ||)                                           \
    MSL_VECTOR_UNARY(N, -) MSL_VECTOR_UNARY(N, +) MSL_VECTOR_UNARY(N, ~)                                \
    friend constexpr vec<bool, N> operator!(const vec& a) {                                             \
        vec<bool, N> r;                                                                                 \
        MSL_EACH(N, r.components[i] = !a.components[i])                                                 \
        return r;                                                                                       \
    }                                                                                                   \
    vec& operator++() { return *this += vec((T)1); }                                                    \
    vec& operator--() { return *this -= vec((T)1); }

// What vectors of every length have. Between vectors of different types only an explicit conversion leads; between
// half and bfloat it goes through float.
#define MSL_VECTOR_COMMON(N)                                                                            \
    using element = T;                                                                                  \
    static constexpr __constant int length = N;                                                         \
    vec() = default;                                                                                    \
    vec(const vec&) = default;                                                                          \
    template <class S, msl_if_scalar<S> = 0> constexpr vec(S s) { MSL_EACH(N, components[i] = (T)s) }   \
    template <class U> explicit constexpr vec(const vec<U, N>& v) {                                     \
        MSL_EACH(N, components[i] = (T)v.components[i])                                                 \
    }                                                                                                   \
    template <class V, class U, int M, int A, int B, int C, int D>                                      \
    explicit constexpr vec(const msl_swizzle<V, U, M, A, B, C, D>& v) : vec(v.get()) {}                   \
    constexpr vec& operator=(const vec& v) {                                                            \
        if (__builtin_is_constant_evaluated()) { MSL_EACH(N, components[i] = v.components[i]) }         \
        else __builtin_memcpy(components, v.components, sizeof(components));                            \
        return *this;                                                                                   \
    }                                                                                                   \
    T& operator[](uint i) { return components[i]; }                                                     \
    constexpr const T& operator[](uint i) const { return components[i]; }                               \
    MSL_VECTOR_OPERATORS(N)

template <class T> struct alignas(2 * sizeof(T)) vec<T, 2> {
    static constexpr __constant int N_ = 2;
    union {
        T components[2];
        struct { T x, y; };
        struct { T r, g; };
        MSL_SWIZZLES_OF(2)
    };
    constexpr vec(T a, T b) : components{a, b} {}
    MSL_VECTOR_COMMON(2)
};

template <class T> struct alignas(4 * sizeof(T)) vec<T, 3> {
    static constexpr __constant int N_ = 3;
    union {
        T components[4];   // as large as its alignment: it is read and written whole, as Metal's is
        struct { T x, y, z; };
        struct { T r, g, b; };
        MSL_SWIZZLES_OF(3)
    };
    constexpr vec(T a, T b, T c) : components{a, b, c} {}
    constexpr vec(vec<T, 2> a, T b) : components{a.x, a.y, b} {}
    constexpr vec(T a, vec<T, 2> b) : components{a, b.x, b.y} {}
    MSL_VECTOR_COMMON(3)
};

template <class T> struct alignas(4 * sizeof(T)) vec<T, 4> {
    static constexpr __constant int N_ = 4;
    union {
        T components[4];
        struct { T x, y, z, w; };
        struct { T r, g, b, a; };
        MSL_SWIZZLES_OF(4)
    };
    constexpr vec(T a, T b, T c, T d) : components{a, b, c, d} {}
    constexpr vec(vec<T, 2> a, vec<T, 2> b) : components{a.x, a.y, b.x, b.y} {}
    constexpr vec(vec<T, 2> a, T b, T c) : components{a.x, a.y, b, c} {}
    constexpr vec(T a, vec<T, 2> b, T c) : components{a, b.x, b.y, c} {}
    constexpr vec(T a, T b, vec<T, 2> c) : components{a, b, c.x, c.y} {}
    constexpr vec(vec<T, 3> a, T b) : components{a.x, a.y, a.z, b} {}
    constexpr vec(T a, vec<T, 3> b) : components{a, b.x, b.y, b.z} {}
    MSL_VECTOR_COMMON(4)
};
#undef MSL_VECTOR_COMMON
#undef MSL_VECTOR_OPERATORS
#undef MSL_VECTOR_UNARY
#undef MSL_VECTOR_COMPARISON
#undef MSL_VECTOR_OPERATOR

template <class T> struct msl_is_vector : false_type {};
template <class T, int N> struct msl_is_vector<vec<T, N>> : true_type {};

// The element type of a vector; a scalar is its own.
template <class T> struct msl_element { using type = T; };
template <class T, int N> struct msl_element<vec<T, N>> { using type = T; };

// What an argument stands for: a swizzle is the vector that it names.
template <class T> struct msl_value { using type = typename msl_plain<T>::type; };
template <class V, class T, int N, int A, int B, int C, int D> struct msl_value<msl_swizzle<V, T, N, A, B, C, D>> {
    using type = V;
};
template <class T> using msl_value_t = typename msl_value<remove_cv_t<T>>::type;
}
using metal::vec;

#define MSL_VECTOR_NAMES(T)       \
    typedef metal::vec<T, 2> T##2; \
    typedef metal::vec<T, 3> T##3; \
    typedef metal::vec<T, 4> T##4; \
    namespace metal { using ::T##2; using ::T##3; using ::T##4; }
MSL_VECTOR_NAMES(float) MSL_VECTOR_NAMES(half) MSL_VECTOR_NAMES(bfloat) MSL_VECTOR_NAMES(bool)
MSL_VECTOR_NAMES(char) MSL_VECTOR_NAMES(short) MSL_VECTOR_NAMES(int) MSL_VECTOR_NAMES(long)
MSL_VECTOR_NAMES(uchar) MSL_VECTOR_NAMES(ushort) MSL_VECTOR_NAMES(uint) MSL_VECTOR_NAMES(ulong)
#undef MSL_VECTOR_NAMES

// The same bits as another type of the same size.
template <class To, class From> inline To as_type(const From& from) {
    typedef metal::msl_value_t<From> V;
    static_assert(sizeof(To) == sizeof(V), "as_type: the types differ in size");
    V value = from;
    To to;
    __builtin_memcpy(&to, &value, sizeof(To));
    return to;
}

// The lowering writes `c ? msl_pick() ->* a : msl_pick() ->* b` for `c ? a : b`: both sides become plain values.
struct msl_pick {};
template <class T> constexpr metal::msl_value_t<T> operator->*(msl_pick, T value) { return value; }
