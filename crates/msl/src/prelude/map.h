// From a function of numbers to the same function of vectors.
//
// Metal declares `exp` and its like once for each type and length, and so do these macros: an argument that fits two
// of them equally well, as an `int` fits float and half, is an error with either compiler.
#pragma once

// `expression` is one of x, y and z, which are of type S; what it gives becomes a T. It stands in each function, not
// behind a call: to find the right one of many functions of a name takes clang most of the time that it needs here.
#define MSL_VECTOR_1(T, S, N, name, expression)                                     \
    inline vec<T, N> name(vec<T, N> a) {                                            \
        vec<T, N> r;                                                                \
        MSL_EACH(N, S x = (S)a.components[i]; r.components[i] = (T)(expression))    \
        return r;                                                                   \
    }
#define MSL_VECTOR_2(T, S, N, name, expression)                                     \
    inline vec<T, N> name(vec<T, N> a, vec<T, N> b) {                               \
        vec<T, N> r;                                                                \
        MSL_EACH(N, S x = (S)a.components[i]; S y = (S)b.components[i];             \
                 r.components[i] = (T)(expression))                                 \
        return r;                                                                   \
    }
#define MSL_VECTOR_3(T, S, N, name, expression)                                     \
    inline vec<T, N> name(vec<T, N> a, vec<T, N> b, vec<T, N> c) {                  \
        vec<T, N> r;                                                                \
        MSL_EACH(N, S x = (S)a.components[i]; S y = (S)b.components[i];             \
                 S z = (S)c.components[i]; r.components[i] = (T)(expression))       \
        return r;                                                                   \
    }

// Functions of one type and its vectors.
#define MSL_DEFINE_1(T, S, name, expression)                                        \
    inline T name(T a) {                                                            \
        S x = (S)a;                                                                 \
        return (T)(expression);                                                     \
    }                                                                               \
    MSL_VECTOR_1(T, S, 2, name, expression)                                         \
    MSL_VECTOR_1(T, S, 3, name, expression)                                         \
    MSL_VECTOR_1(T, S, 4, name, expression)
#define MSL_DEFINE_2(T, S, name, expression)                                        \
    inline T name(T a, T b) {                                                       \
        S x = (S)a, y = (S)b;                                                       \
        return (T)(expression);                                                     \
    }                                                                               \
    MSL_VECTOR_2(T, S, 2, name, expression)                                         \
    MSL_VECTOR_2(T, S, 3, name, expression)                                         \
    MSL_VECTOR_2(T, S, 4, name, expression)
#define MSL_DEFINE_3(T, S, name, expression)                                        \
    inline T name(T a, T b, T c) {                                                  \
        S x = (S)a, y = (S)b, z = (S)c;                                             \
        return (T)(expression);                                                     \
    }                                                                               \
    MSL_VECTOR_3(T, S, 2, name, expression)                                         \
    MSL_VECTOR_3(T, S, 3, name, expression)                                         \
    MSL_VECTOR_3(T, S, 4, name, expression)

// Functions of float, and of float and half: half is computed as float and rounded once.
#define MSL_FLOAT_1(name, expression) MSL_DEFINE_1(float, float, name, expression)
#define MSL_FLOAT_2(name, expression) MSL_DEFINE_2(float, float, name, expression)
#define MSL_FLOAT_3(name, expression) MSL_DEFINE_3(float, float, name, expression)
#define MSL_BOTH_1(name, expression) MSL_FLOAT_1(name, expression) MSL_DEFINE_1(half, float, name, expression)
#define MSL_BOTH_2(name, expression) MSL_FLOAT_2(name, expression) MSL_DEFINE_2(half, float, name, expression)
#define MSL_BOTH_3(name, expression) MSL_FLOAT_3(name, expression) MSL_DEFINE_3(half, float, name, expression)

// Functions of one integer type, for every integer type.
#define MSL_INTEGERS(M, name, expression)                                                           \
    M(char, char, name, expression) M(short, short, name, expression) M(int, int, name, expression) \
    M(long, long, name, expression) M(uchar, uchar, name, expression)                               \
    M(ushort, ushort, name, expression) M(uint, uint, name, expression)                             \
    M(ulong, ulong, name, expression)
