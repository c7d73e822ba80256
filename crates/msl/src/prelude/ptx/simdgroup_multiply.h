// The product of two matrices of 8x8 numbers, by shuffles: for kernels that ask for exactly this block. Tiles
// (kernels/common/tile.h) have the matrix unit.
#pragma once

namespace metal {
// d = a · b + c, computed in float: row r of a meets column c of b in order of k.
template <class D, class A, class B, class C>
inline void simdgroup_multiply_accumulate(thread simdgroup_matrix<D, 8, 8>& d, simdgroup_matrix<A, 8, 8> a,
                                          simdgroup_matrix<B, 8, 8> b, simdgroup_matrix<C, 8, 8> c) {
    const uint row = msl_matrix_row(msl_lane()), column = msl_matrix_column(msl_lane());
    float first = (float)c.elements.x, second = (float)c.elements.y;
    for (uint k = 0; k < 8; k++) {
        const int left_lane = (int)msl_matrix_lane(row, k), right_lane = (int)msl_matrix_lane(k, column);
        const float factor = msl_of_lane<float>(k & 1 ? (float)a.elements.y : (float)a.elements.x, left_lane);
        first = __builtin_fmaf(factor, msl_of_lane<float>((float)b.elements.x, right_lane), first);
        second = __builtin_fmaf(factor, msl_of_lane<float>((float)b.elements.y, right_lane), second);
    }
    d.elements = vec<D, 2>((D)first, (D)second);
}
}
