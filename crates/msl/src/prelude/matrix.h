// Small matrices, column by column.
#pragma once

namespace metal {
template <class T, int C, int R> struct matrix {
    vec<T, R> columns[C];

    matrix() = default;
    matrix(const matrix&) = default;
    explicit matrix(T diagonal) {
        for (int c = 0; c < C; c++)
            for (int r = 0; r < R; r++) columns[c][r] = c == r ? diagonal : (T)0;
    }
    template <class... V, enable_if_t<sizeof...(V) == C, int> = 0> matrix(V... v) : columns{vec<T, R>(v)...} {}
    template <class U> explicit matrix(const matrix<U, C, R>& m) { MSL_EACH(C, columns[i] = vec<T, R>(m.columns[i])) }

    vec<T, R>& operator[](uint i) { return columns[i]; }
    const vec<T, R>& operator[](uint i) const { return columns[i]; }

    friend matrix operator+(const matrix& a, const matrix& b) {
        matrix m;
        MSL_EACH(C, m[i] = a[i] + b[i])
        return m;
    }
    friend matrix operator-(const matrix& a, const matrix& b) {
        matrix m;
        MSL_EACH(C, m[i] = a[i] - b[i])
        return m;
    }
    friend matrix operator*(const matrix& a, T s) {
        matrix m;
        MSL_EACH(C, m[i] = a[i] * s)
        return m;
    }
    friend matrix operator*(T s, const matrix& a) { return a * s; }
    friend vec<T, R> operator*(const matrix& a, const vec<T, C>& v) {
        vec<T, R> sum((T)0);
        MSL_EACH(C, sum += a[i] * v.components[i])
        return sum;
    }
    friend vec<T, C> operator*(const vec<T, R>& v, const matrix& a) {
        vec<T, C> product;
        for (int c = 0; c < C; c++) {
            product[c] = (T)0;
            for (int r = 0; r < R; r++) product[c] += v.components[r] * a.columns[c].components[r];
        }
        return product;
    }
};
template <class T, int C, int R> inline matrix<T, R, C> transpose(const matrix<T, C, R>& a) {
    matrix<T, R, C> m;
    for (int c = 0; c < C; c++)
        for (int r = 0; r < R; r++) m.columns[r][c] = a.columns[c].components[r];
    return m;
}
}

#define MSL_MATRIX_NAME(T, C, R)                   \
    typedef metal::matrix<T, C, R> T##C##x##R;      \
    namespace metal { using ::T##C##x##R; }
#define MSL_MATRIX_NAMES(T)                                                                    \
    MSL_MATRIX_NAME(T, 2, 2) MSL_MATRIX_NAME(T, 2, 3) MSL_MATRIX_NAME(T, 2, 4)                 \
    MSL_MATRIX_NAME(T, 3, 2) MSL_MATRIX_NAME(T, 3, 3) MSL_MATRIX_NAME(T, 3, 4)                 \
    MSL_MATRIX_NAME(T, 4, 2) MSL_MATRIX_NAME(T, 4, 3) MSL_MATRIX_NAME(T, 4, 4)
MSL_MATRIX_NAMES(float) MSL_MATRIX_NAMES(half)
#undef MSL_MATRIX_NAMES
#undef MSL_MATRIX_NAME
