// Matrix times many rows, the products by the tensor operations of Metal 4 (macOS 26), which an M5 computes on units
// of their own. Read gemm_plain.metal first: what is fetched, rounded and stored is the same.
//
//   out[m, n] = input[m, :] · W[n, :] (+ bias[n])        input [rows, columns] f32, W [outputs, columns], out f32
//
// A threadgroup of 128 threads computes 64 rows x 32 outputs, walking the columns in steps of 32:
//
//     input step [64, 32] f16 --+
//                               +--> matmul2d, all 4 simdgroups --> sums [64, 32] f32, a cooperative tensor
//     W step     [32, 32] f16 --+
//
// A cooperative tensor is a matrix that the threads of a threadgroup hold together, each some of its elements in
// registers. Which thread holds which is the GPU's business and differs between GPUs, so this kernel assumes nothing:
// of each element that a thread holds it asks the row, and the whole matrix leaves by `store`.
//
// Steps lie in threadgroup memory row by row, [rows, 32], and not in slabs of 8 columns as for the matrix unit of
// gemm_plain.metal: a tensor is described by its sizes and the distance of its rows. Two steps have room (12 KiB), one
// is multiplied while the other is written, one barrier a step. Columns any multiple of 16; rows and outputs any
// number: what lies outside is zero, and the sums leave through threadgroup memory, from where only what lies inside is
// written. 64 x 32 is the tile of Apple's own examples for 4 simdgroups; others are untried.
//
// Numerics are those of gemm_plain.metal: f16 factors, f32 sums, and a power of two for each row of the input, which
// may have to shrink on the way, and with it the row's sums: each element is multiplied by the factor of its row. That
// is rare, for a power leaves room for numbers up to 128 times as large as the first. A pass over the row beforehand
// would find its power once, but read the input twice every time.
//
// The order in which the units add products is not known, so bits are not promised: where answers must be
// reproducible, this kernel is left out. People have measured wrong, finite numbers with these operations on an M5, so
// it is never chosen by default: only where `wootz tune` found it right and faster on the machine itself.
//
// Work: 2 · rows · outputs · columns operations. W is read ⌈rows / 64⌉ times, the input ⌈outputs / 32⌉ times, mostly
// from caches. Twin: wootz_backend::cpu::reference::linear on decoded weights.
#include <metal_stdlib>
#include <metal_tensor>
#include <MetalPerformancePrimitives/MetalPerformancePrimitives.h>
using namespace metal;
#include "arguments.h"
#include "common/format_k.h"
#include "common/format_legacy.h"
#include "common/format_plain.h"
#include "common/format_q8.h"
#include "common/gemm_tensor.h"

GEMM_TENSOR("f16", FormatF16)
GEMM_TENSOR("q8_0", FormatQ8_0)
GEMM_TENSOR("q4_0", FormatQ4_0)
GEMM_TENSOR("q4_k", FormatQ4_K)
GEMM_TENSOR("q6_k", FormatQ6_K)
