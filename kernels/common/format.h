// How the weight of a matrix is read, whatever it is stored as.
//
// A matrix is [rows, columns], row-major. A format is a struct with
//
//   static Row row(Matrix matrix, uint index, uint columns)       where row `index` begins
//   static void load16(Row row, uint group, thread float4* out)   its elements 16·group .. 16·group + 16
//
// so that a kernel template reads any format. Kernels that are to be fast for one format read its blocks themselves,
// and are compared with this path. Elements in a row are a multiple of 16 for every format but the plain ones,
// whose kernels look at single elements where columns end.
#pragma once

// The arrays of a stored matrix; a format that keeps all in its blocks uses only `data`.
struct Matrix {
    device const uchar* data;     // blocks or packed integers
    device const uchar* scales;   // one a group, where they lie apart (MLX affine, FP8, NF4)
    device const uchar* biases;   // one a group (MLX affine)
};

// The same arrays from the beginning of one row.
struct Row {
    device const uchar* data;
    device const uchar* scales;
    device const uchar* biases;
};
