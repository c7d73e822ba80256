// The first two steps towards a fast matrix product: one thread an output, then tiles in threadgroup memory.
//
//   out[m, n] = input[m, :] · W[n, :] (+ bias[n])        input [rows, columns] f32, W [outputs, columns] F32, F16, BF16
//
// They are what the fast kernels (common/gemm.h, gemm_plain.metal) are understood from, and they run where those can't:
// they take any number of columns, and the fast ones whole groups of 16. Sums are f32 throughout; a thread adds columns
// in ascending order in one chain of fused multiply-adds.
//
// naive: thread (n, m) of the grid walks row m and row n. Each of its two numbers is used for one multiplication, so
// memory is read twice for each: 6 to 8 bytes for 2 operations, where an M4 Max has 0.03 bytes for an operation.
//
// tiled: a threadgroup of 64 threads computes 32x32 outputs, a thread 4x4 of them. 16 columns of 32 rows of the input
// and of W are brought to threadgroup memory, where each number is used 32 times; a thread reads 4 + 4 numbers from
// there for 16 multiplications. Steps lie transposed, [16][32]: the four numbers that a thread needs are side by side,
// and the 8 threads of a row of the 8x8 arrangement read 128 bytes without conflict. Rows are 36 long and not 32, so
// that the 16 columns of a row, which neighbouring threads store, fall into 8 banks and not into one.
//
//        W:  n0 ....... n31                 thread (ty, tx) has rows 4 ty .. 4 ty + 4
//   m0   +--+--+--+--+--+--+--+--+          and outputs 4 tx .. 4 tx + 4
//        |00|01|02| ...       |07|
//        +--+--+--+--+--+--+--+--+
//        |10| ...
//
// Twin: wootz_backend::cpu::reference::linear. What a launch does, 64 rows, 128 outputs, 256 columns, W in F16, counted
// exactly by the emulator (`cargo nextest run -p wootz-gpu --test gemm`):
//
//                      device    device        threadgroup                   matrices threadgroup
//   kernel               read   written               read   written         multiplied   barriers
//   naive            12582912     32768                  0         0                  0          0
//   tiled              393216     32768            4194304    524288                  0        256
//   rows8              655360     32768             917504    627200               4096        160
//   rows16             393216     32768             655360    365056               4096         80
//   rows32             262144     32768             524288    233984               4096         40
//   head               196608     32768             360448    198912               4096         20
//   gemm               196608     32768             360448    168448               4096         20
//
// Each step of the way divides what the one before was short of. `tiled` reads a 32nd of the device memory that `naive`
// does. The matrix unit then takes the multiplications and most reads of threadgroup memory away, and a larger tile
// halves device reads again. Small tiles (rows8 …) are for few rows: here, with 64, they read W once for each of their
// rows of tiles; with 8 rows rows8 reads it once, as all others do, and multiplies an eighth of what `gemm` would.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/format_plain.h"

template <typename Format>
kernel void gemm_naive(
    device const float* input       [[buffer(0)]],   // [rows, columns]
    device const uchar* data        [[buffer(1)]],   // [outputs, columns]
    device const float* bias        [[buffer(2)]],   // [outputs], where args.has_bias
    device float* out               [[buffer(3)]],   // [rows, outputs]
    constant GemmArguments& args    [[buffer(4)]],
    uint2 position [[thread_position_in_grid]])
{
    const uint output = position.x, m = position.y;
    if (output >= args.outputs) return;
    const Row row = Format::row({ data, data, data }, output, args.columns);
    device const float* x = input + ulong(m) * args.columns;
    float sum = 0.0f;
    for (uint k = 0; k < args.columns; k++) sum = fma(x[k], Format::element(row, k), sum);
    out[ulong(m) * args.outputs + output] = args.has_bias != 0 ? sum + bias[output] : sum;
}

constant constexpr uint TILE = 32, STEP = 16, EACH = 4, PITCH = 36;

template <typename Format>
kernel void gemm_tiled(
    device const float* input       [[buffer(0)]],   // [rows, columns]
    device const uchar* data        [[buffer(1)]],   // [outputs, columns]
    device const float* bias        [[buffer(2)]],   // [outputs], where args.has_bias
    device float* out               [[buffer(3)]],   // [rows, outputs]
    constant GemmArguments& args    [[buffer(4)]],
    uint2 place      [[threadgroup_position_in_grid]],
    uint thread_id   [[thread_index_in_threadgroup]])
{
    threadgroup float4 left_quads[STEP * PITCH / 4];
    threadgroup float4 right_quads[STEP * PITCH / 4];
    threadgroup float* left = (threadgroup float*)left_quads;
    threadgroup float* right = (threadgroup float*)right_quads;
    const uint first_row = place.y * TILE, first_output = place.x * TILE;
    const uint ty = thread_id / 8, tx = thread_id % 8;
    float sums[EACH][EACH];
    for (uint i = 0; i < EACH; i++)
        for (uint j = 0; j < EACH; j++) sums[i][j] = 0.0f;
    for (uint column = 0; column < args.columns; column += STEP) {
        for (uint i = thread_id; i < STEP * TILE; i += 64) {
            const uint row = first_row + i / STEP, output = first_output + i / STEP, k = column + i % STEP;
            float x = 0.0f, w = 0.0f;
            if (row < args.rows && k < args.columns) x = input[ulong(row) * args.columns + k];
            if (output < args.outputs && k < args.columns)
                w = Format::element(Format::row({ data, data, data }, output, args.columns), k);
            left[i % STEP * PITCH + i / STEP] = x;
            right[i % STEP * PITCH + i / STEP] = w;
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        for (uint k = 0; k < STEP; k++) {
            const float4 x = *(threadgroup const float4*)(left + k * PITCH + EACH * ty);
            const float4 w = *(threadgroup const float4*)(right + k * PITCH + EACH * tx);
            for (uint i = 0; i < EACH; i++)
                for (uint j = 0; j < EACH; j++) sums[i][j] = fma(x[i], w[j], sums[i][j]);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    for (uint i = 0; i < EACH; i++) {
        for (uint j = 0; j < EACH; j++) {
            const uint row = first_row + EACH * ty + i, output = first_output + EACH * tx + j;
            if (row < args.rows && output < args.outputs)
                out[ulong(row) * args.outputs + output] = args.has_bias != 0 ? sums[i][j] + bias[output] : sums[i][j];
        }
    }
}

#define STAGES(name, Format)                                                                                            \
    template [[host_name("gemm_naive_" name)]] kernel decltype(gemm_naive<Format>) gemm_naive<Format>;                  \
    template [[host_name("gemm_tiled_" name)]] kernel decltype(gemm_tiled<Format>) gemm_tiled<Format>;

STAGES("f32", FormatF32)
STAGES("f16", FormatF16)
STAGES("bf16", FormatBF16)
