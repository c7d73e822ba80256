// From a function of numbers to the same function of vectors.
//
// Metal declares `exp` and its like once for each type and length, and so do these macros: an argument that fits two
// of them equally well, as an `int` fits float and half, is an error with either compiler.
#pragma once

#define MSL_VECTOR_1(T, N, name)                                          \
    inline vec<T, N> name(vec<T, N> a) {                                  \
        vec<T, N> r;                                                      \
        MSL_EACH(N, r.components[i] = name(a.components[i]))              \
        return r;                                                         \
    }
#define MSL_VECTOR_2(T, N, name)                                          \
    inline vec<T, N> name(vec<T, N> a, vec<T, N> b) {                     \
        vec<T, N> r;                                                      \
        MSL_EACH(N, r.components[i] = name(a.components[i], b.components[i])) \
        return r;                                                         \
    }
#define MSL_VECTOR_3(T, N, name)                                          \
    inline vec<T, N> name(vec<T, N> a, vec<T, N> b, vec<T, N> c) {        \
        vec<T, N> r;                                                      \
        MSL_EACH(N, r.components[i] = name(a.components[i], b.components[i], c.components[i])) \
        return r;                                                         \
    }
#define MSL_VECTORS_1(T, name) MSL_VECTOR_1(T, 2, name) MSL_VECTOR_1(T, 3, name) MSL_VECTOR_1(T, 4, name)
#define MSL_VECTORS_2(T, name) MSL_VECTOR_2(T, 2, name) MSL_VECTOR_2(T, 3, name) MSL_VECTOR_2(T, 4, name)
#define MSL_VECTORS_3(T, name) MSL_VECTOR_3(T, 2, name) MSL_VECTOR_3(T, 3, name) MSL_VECTOR_3(T, 4, name)

// Functions of x, y and z for float.
#define MSL_FLOAT_1(name, expression) \
    inline float name(float x) { return expression; } \
    MSL_VECTORS_1(float, name)
#define MSL_FLOAT_2(name, expression) \
    inline float name(float x, float y) { return expression; } \
    MSL_VECTORS_2(float, name)
#define MSL_FLOAT_3(name, expression) \
    inline float name(float x, float y, float z) { return expression; } \
    MSL_VECTORS_3(float, name)

// The same for half: computed as float and rounded once.
#define MSL_HALF_1(name, expression) \
    inline half name(half a) { float x = (float)a; return (half)(expression); } \
    MSL_VECTORS_1(half, name)
#define MSL_HALF_2(name, expression) \
    inline half name(half a, half b) { float x = (float)a, y = (float)b; return (half)(expression); } \
    MSL_VECTORS_2(half, name)
#define MSL_HALF_3(name, expression)                          \
    inline half name(half a, half b, half c) {                \
        float x = (float)a, y = (float)b, z = (float)c;       \
        return (half)(expression);                            \
    }                                                         \
    MSL_VECTORS_3(half, name)

#define MSL_BOTH_1(name, expression) MSL_FLOAT_1(name, expression) MSL_HALF_1(name, expression)
#define MSL_BOTH_2(name, expression) MSL_FLOAT_2(name, expression) MSL_HALF_2(name, expression)
#define MSL_BOTH_3(name, expression) MSL_FLOAT_3(name, expression) MSL_HALF_3(name, expression)

// Functions of one integer type, for every integer type.
#define MSL_INTEGERS(M, name, expression)                                                         \
    M(char, name, expression) M(short, name, expression) M(int, name, expression)                 \
    M(long, name, expression) M(uchar, name, expression) M(ushort, name, expression)              \
    M(uint, name, expression) M(ulong, name, expression)
#define MSL_INTEGER_1(T, name, expression) \
    inline T name(T x) { return (T)(expression); } \
    MSL_VECTORS_1(T, name)
#define MSL_INTEGER_2(T, name, expression) \
    inline T name(T x, T y) { return (T)(expression); } \
    MSL_VECTORS_2(T, name)
#define MSL_INTEGER_3(T, name, expression) \
    inline T name(T x, T y, T z) { return (T)(expression); } \
    MSL_VECTORS_3(T, name)
