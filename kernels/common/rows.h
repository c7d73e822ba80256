// Rows of a stored matrix, expanded: what embedding and dequantising have in common.
//
// A group of sixteen elements is one thread's: it reads the group (with its share of the block's header), and writes 64
// bytes of f32 or 32 of f16. Threads lie along the rows, one row after another:
//
//   thread     0          1               columns/16
//   row        [0 .. 16 ) [16 .. 32 ) …   [0 .. 16 ) of the next row …
//
// Plain formats have rows of any width, so there a thread has four elements, of which a row's last may lack some.
#pragma once
#include "common/entries.h"
#include "common/format.h"
#include "common/quads.h"

// The row and the group (or quad) of a thread, if there are `per_row` in a row.
inline uint2 row_and_group(uint thread_id, uint per_row) {
    const uint row = thread_id / per_row;
    return uint2(row, thread_id - row * per_row);
}

// out[r] = scale · table[tokens[r]], where a token may be one of the previous step's (common/entries.h); for formats of whole groups.
template <typename Format>
kernel void embed(
    device const uchar* data        [[buffer(0)]],   // the table: [vocabulary, columns]
    device const uchar* scales      [[buffer(1)]],
    device const uchar* biases      [[buffer(2)]],
    device const uint* tokens       [[buffer(3)]],   // [rows], or rows of the previous step
    device const uint* previous     [[buffer(4)]],   // the tokens that it chose
    device float4* out              [[buffer(5)]],   // [rows, columns]
    constant EmbedArguments& args   [[buffer(6)]],
    uint thread_id [[thread_position_in_grid]])
{
    const uint per_row = args.columns / 16;
    if (thread_id >= args.rows * per_row) return;
    const uint2 place = row_and_group(thread_id, per_row);
    float4 values[4];
    const uint token = resolved(tokens[place.x], previous);
    Format::load16(Format::row({ data, scales, biases }, token, args.columns), place.y, values);
    device float4* to = out + ulong(thread_id) * 4;
    for (uint i = 0; i < 4; i++) to[i] = values[i] * args.scale;
}

// out[r] = matrix[r] as f16, for formats of whole groups.
template <typename Format>
kernel void dequantize(
    device const uchar* data             [[buffer(0)]],   // the matrix: [rows, columns]
    device const uchar* scales           [[buffer(1)]],
    device const uchar* biases           [[buffer(2)]],
    device half4* out                    [[buffer(3)]],   // [rows, columns]
    constant DequantizeArguments& args   [[buffer(4)]],
    uint thread_id [[thread_position_in_grid]])
{
    const uint per_row = args.columns / 16;
    if (thread_id >= args.rows * per_row) return;
    const uint2 place = row_and_group(thread_id, per_row);
    float4 values[4];
    Format::load16(Format::row({ data, scales, biases }, place.x, args.columns), place.y, values);
    device half4* to = out + ulong(thread_id) * 4;
    for (uint i = 0; i < 4; i++) to[i] = half4(values[i]);
}

// The two kernels of a format; `name` is what entry points end in.
#define ROWS_KERNELS(name, Format)                                                                     \
    template [[host_name("embed_" name)]] kernel decltype(embed<Format>) embed<Format>;               \
    template [[host_name("dequantize_" name)]] kernel decltype(dequantize<Format>) dequantize<Format>;
