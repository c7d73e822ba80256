// Matrices of 8x8 numbers that a simdgroup holds together, two in each lane.
//
//           columns 0-1 2-3 4-5 6-7
//   row 0   lanes    0   1   8   9       Lane l holds row (l & 16) / 4 + (l / 2) % 4
//   row 1            2   3  10  11       and columns (l & 8) / 2 + (l % 2) * 2 and the next.
//   row 2            4   5  12  13       It is Apple's layout, which thread_elements() shows.
//   row 3            6   7  14  15
//   rows 4-7: 16 lanes higher
#pragma once

namespace metal {
inline uint msl_matrix_row(uint lane) { return (lane & 16) / 4 + (lane / 2) % 4; }
inline uint msl_matrix_column(uint lane) { return (lane & 8) / 2 + (lane % 2) * 2; }
inline uint msl_matrix_lane(uint row, uint column) {
    return (row & 4) * 4 + (column & 4) * 2 + (row & 3) * 2 + (column & 3) / 2;
}

template <class T, int Columns = 8, int Rows = Columns> struct simdgroup_matrix {
    static_assert(Columns == 8 && Rows == 8, "a simdgroup_matrix has 8 rows and 8 columns");
    static_assert(is_floating_point<T>::value, "a simdgroup_matrix holds float, half or bfloat");
    vec<T, 2> elements;

    simdgroup_matrix() {}
    simdgroup_matrix(const simdgroup_matrix&) = default;
    explicit simdgroup_matrix(T diagonal) : elements((T)0) {
        const uint row = msl_matrix_row(msl_lane()), column = msl_matrix_column(msl_lane());
        if (row == column) elements.x = diagonal;
        if (row == column + 1) elements.y = diagonal;
    }
    // What this lane holds: row and columns as above.
    thread vec<T, 2>& thread_elements() { return *(thread vec<T, 2>*)&elements; }
    thread const vec<T, 2>& thread_elements() const { return *(thread const vec<T, 2>*)&elements; }
};
typedef simdgroup_matrix<float, 8, 8> simdgroup_float8x8;
typedef simdgroup_matrix<half, 8, 8> simdgroup_half8x8;
typedef simdgroup_matrix<bfloat, 8, 8> simdgroup_bfloat8x8;

template <class T, int Columns, int Rows = Columns> inline simdgroup_matrix<T, Columns, Rows> make_filled_simdgroup_matrix(T value) {
    simdgroup_matrix<T, Columns, Rows> matrix;
    matrix.elements = vec<T, 2>(value);
    return matrix;
}

// Where this lane's first element lies, and the step to its second. `origin` is (column, row) of the matrix in memory.
struct msl_matrix_place {
    ulong first, step;
    msl_matrix_place(ulong elements_per_row, ulong2 origin, bool transpose) {
        const uint lane = msl_lane();
        const ulong row = transpose ? msl_matrix_column(lane) : msl_matrix_row(lane);
        const ulong column = transpose ? msl_matrix_row(lane) : msl_matrix_column(lane);
        first = (origin.y + row) * elements_per_row + origin.x + column;
        step = transpose ? elements_per_row : 1;
    }
};
#define MSL_MATRIX_MEMORY(space)                                                                             \
    template <class T>                                                                                       \
    inline void simdgroup_load(thread simdgroup_matrix<T, 8, 8>& matrix, const space T* source,              \
                               ulong elements_per_row = 8, ulong2 matrix_origin = ulong2(0),                 \
                               bool transpose_matrix = false) {                                              \
        msl_simd_wait(0x50);                                                                                 \
        const msl_matrix_place place(elements_per_row, matrix_origin, transpose_matrix);                     \
        matrix.elements.x = source[place.first];                                                             \
        matrix.elements.y = source[place.first + place.step];                                                \
    }                                                                                                        \
    template <class T>                                                                                       \
    inline void simdgroup_store(simdgroup_matrix<T, 8, 8> matrix, space T* destination,                      \
                                ulong elements_per_row = 8, ulong2 matrix_origin = ulong2(0),                \
                                bool transpose_matrix = false) {                                             \
        msl_simd_wait(0x51);                                                                                 \
        const msl_matrix_place place(elements_per_row, matrix_origin, transpose_matrix);                     \
        destination[place.first] = matrix.elements.x;                                                        \
        destination[place.first + place.step] = matrix.elements.y;                                           \
    }
MSL_MATRIX_MEMORY(device)
MSL_MATRIX_MEMORY(threadgroup)
#undef MSL_MATRIX_MEMORY

}
#include "simdgroup_multiply.h"
namespace metal {
template <class D, class A, class B>
inline void simdgroup_multiply(thread simdgroup_matrix<D, 8, 8>& d, simdgroup_matrix<A, 8, 8> a, simdgroup_matrix<B, 8, 8> b) {
    simdgroup_multiply_accumulate(d, a, b, make_filled_simdgroup_matrix<float, 8>(0.0f));
}
}
