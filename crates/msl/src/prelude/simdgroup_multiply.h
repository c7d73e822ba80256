// The product of two matrices of 8x8 numbers: lanes lay their parts down for each other.
#pragma once

namespace metal {
// A lane's part of two factors, as the other lanes see it.
struct msl_matrix_factors { float a[2], b[2]; };
// d = a · b + c, computed in float: row r of a meets column c of b in order of k.
template <class D, class A, class B, class C>
inline void simdgroup_multiply_accumulate(thread simdgroup_matrix<D, 8, 8>& d, simdgroup_matrix<A, 8, 8> a,
                                          simdgroup_matrix<B, 8, 8> b, simdgroup_matrix<C, 8, 8> c) {
    const msl_matrix_factors mine = {{(float)a.elements.x, (float)a.elements.y}, {(float)b.elements.x, (float)b.elements.y}};
    __private msl_exchange* exchange = msl_xchg(0x52, &mine, sizeof(mine));
    const uint row = msl_matrix_row(msl_lane()), column = msl_matrix_column(msl_lane());
    float first = (float)c.elements.x, second = (float)c.elements.y;
    for (uint k = 0; k < 8; k++) {
        const float factor = msl_brought<msl_matrix_factors>(exchange, msl_matrix_lane(row, k)).a[k & 1];
        const msl_matrix_factors right = msl_brought<msl_matrix_factors>(exchange, msl_matrix_lane(k, column));
        first += factor * right.b[0];
        second += factor * right.b[1];
    }
    d.elements = vec<D, 2>((D)first, (D)second);
}
}
