// Matrix times many rows, on the matrix unit. Here for F32, F16 and BF16; other formats have files of their own, all
// from common/gemm.h. gemm_stages.metal has the two simpler kernels to read first, and what each stage reads and
// writes.
//
//   out[m, n] = input[m, :] · W[n, :] (+ bias[n])        input [rows, columns] f32, W [outputs, columns], out f32
//
// A threadgroup of 128 threads (4 simdgroups) computes a tile of out, walking the columns in steps of 32 (16 for F32):
//
//                  W: 64 outputs                  gemm_          64 x 64    each simdgroup 32 x 32, 16 blocks of 8x8
//                +-------+-------+                gemm_rows32_   32 x 64    each 32 x 16
//     64 rows    | sg 0  | sg 1  |                gemm_rows16_   16 x 64    each 16 x 16
//     of input   +-------+-------+                gemm_rows8_     8 x 64    each  8 x 16
//                | sg 2  | sg 3  |                gemm_head_     32 x 128   each 32 x 32
//                +-------+-------+                gemm_grouped_  32 x 64, gemm_grouped8_ 8 x 64: rows of experts
//
// A step: each thread decodes 16 elements of a row (Format::load16) of the input and of W, rounds them to f16 and
// stores them to threadgroup memory; then each simdgroup loads blocks of 8x8 from there and multiplies. Columns any
// multiple of 16; rows and outputs any number, what lies outside is zero and is not stored. `has_bias` 0: the bias is
// not read.
//
// Which tile. W is read once for each ⌈rows / tile rows⌉, the input once for each ⌈outputs / tile outputs⌉. With up to
// 32 rows one tile holds all of them and W, by far the larger, comes from memory once: the small tiles are as tall as
// the rows. The head (very many outputs) has threadgroups enough for tiles of twice the width, which halve the reads of
// the input and give a thread two pieces of W to wait for at once. Where outputs are few, columns are cut in parts
// (grid z) that gemm_combine adds up. A block of 16 x 16 sums per simdgroup loads 4 blocks for 4 multiplications, 32 x
// 32 loads 8 for 16: this is why tiles are not small everywhere. 32 x 32 sums are 32 registers a lane; 64 x 32 would be
// 64, and with what is fetched ahead too many for two threadgroups to take turns on a core.
//
// Waiting. Two steps have room in threadgroup memory (64 x 64: 16 KiB, which the sums use at the end). While one is
// multiplied the next is fetched, and it is stored to the other, so one barrier a step is enough, and simdgroups that
// decode run beside simdgroups that multiply. With one step there would be two barriers, and none could run ahead.
//
// Threadgroup memory holds slabs of 8 columns, [rows, 8]: a block is 128 bytes side by side, without conflict and
// without padding; a thread stores 16 bytes beside those of the next row (common/gemm_tile.h).
//
// Numerics. Products of f16 factors are exact in f32, and sums are f32. What is lost is the rounding of factors, 2⁻¹¹
// each at most: a sum is off by about 2⁻¹¹ of the root of the sum of its squared products. F32 weights keep f32 tiles
// (the matrix unit of M1 to M4 is about as fast with them; steps are 16 columns): they are routers and small tests,
// whose exactness matters. BF16 weights lose nothing, their 8 bits of mantissa fit in f16's 11, unless they are beyond
// 65504 or below 2⁻¹⁴, which weights are not. Activations may be: so each row has a power of two, found while the row
// is read, that takes it to where f16 is exact (RowScale in common/gemm_tile.h). Clamping would be wrong, bf16 tiles
// would have an eighth of the precision and M1 and M2 emulate them, and a pass before the product would read the input
// twice. It costs a maximum over 16 elements and one shuffle for each 16 that a thread stores. A row is finite wherever
// its result is, and infinite or NaN where its input is.
//
// One answer. Whatever the tile, a row's columns are added 8 by 8 in ascending order and its power of two depends on
// its own columns only, 32 at a time: its bits depend neither on other rows nor on the tile
// (crates/wootz-gpu/tests/gemm.rs). Parts cut the sum elsewhere, so they are left out where bits are promised.
//
// Work: 2 · rows · outputs · columns operations. Twin: wootz_backend::cpu::reference::linear on decoded weights.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/format_plain.h"
#include "common/gemm.h"

GEMM_INSTANTIATE_AS("f32", FormatF32, float)
GEMM_INSTANTIATE("f16", FormatF16)
GEMM_INSTANTIATE("bf16", FormatBF16)
