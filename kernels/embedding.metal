// Rows picked out of a matrix: the embedding of tokens, and the rows of a step that are sampled.
//
//   embed         out[r] = scale · table[tokens[r]]
//   gather_add    out[s] = residual[rows[s]] + input[rows[s]]
//   gather        out[s] = input[rows[s]]
//
// A token may be named as the one that row k of the previous step chose (common/entries.h): a step is encoded before that is
// known, and needs no launch that looks.
//
// This file has the plain tables and what picks f32 rows; embedding_<family>.metal have the tables of each other family
// of formats, from the same template (common/rows.h), with the kernels that expand whole matrices to f16.
//
// Nothing is computed, so nothing but bytes counts: `rows` rows of the table are read and 4 · columns bytes written for each
// row, one multiplication an element. At a prompt of 512 tokens and 4096 columns that is 8 MiB, written in a few tens of
// microseconds; at one token the launch costs more than the kernel.
//
// Threads: one has four elements (a quad) of a row, threads lie along the rows, one row after another; the host rounds
// their number up to whole threadgroups. Sixteen bytes a thread and neighbours next to one another: all loads and stores
// are coalesced. Rows of any width; a last quad may be short.
//
// Numerics: the element as the table has it, times the scale, in f32: the twin's result bit for bit. A sum of two f32 is
// rounded once, in the twin as well.
//
// Twins: wootz_backend::cpu::reference::{embed, gather_add}.
#include <metal_stdlib>
#include "arguments.h"
using namespace metal;

#include "common/format_plain.h"
#include "common/rows.h"

// The elements 4 · quad .. of a row; zero for what it lacks.
template <typename Format>
inline float4 plain_quad(Row row, uint quad, uint columns) {
    const uint first = 4 * quad;
    if (first + 4 <= columns) return Format::load4(row, first);
    float4 values = float4(0.0f);
    if (first < columns) values.x = Format::element(row, first);
    if (first + 1 < columns) values.y = Format::element(row, first + 1);
    if (first + 2 < columns) values.z = Format::element(row, first + 2);
    return values;
}

template <typename Format>
kernel void embed_plain(
    device const uchar* data        [[buffer(0)]],   // the table: [vocabulary, columns]
    device const uchar* scales      [[buffer(1)]],   // not used
    device const uchar* biases      [[buffer(2)]],   // not used
    device const uint* tokens       [[buffer(3)]],   // [rows], or rows of the previous step
    device const uint* previous     [[buffer(4)]],   // the tokens that it chose
    device float* out               [[buffer(5)]],   // [rows, columns]
    constant EmbedArguments& args   [[buffer(6)]],
    uint thread_id [[thread_position_in_grid]])
{
    const uint per_row = quads_of(args.columns);
    if (thread_id >= args.rows * per_row) return;
    const uint2 place = row_and_group(thread_id, per_row);
    const Row row = Format::row({ data, scales, biases }, resolved(tokens[place.x], previous), args.columns);
    const float4 values = plain_quad<Format>(row, place.y, args.columns) * args.scale;
    store_quad(out + ulong(place.x) * args.columns, place.y, args.columns, values);
}

template [[host_name("embed_f32")]] kernel decltype(embed_plain<FormatF32>) embed_plain<FormatF32>;
template [[host_name("embed_f16")]] kernel decltype(embed_plain<FormatF16>) embed_plain<FormatF16>;
template [[host_name("embed_bf16")]] kernel decltype(embed_plain<FormatBF16>) embed_plain<FormatBF16>;

kernel void gather_add(
    device const float* residual     [[buffer(0)]],   // [any, columns]
    device const float* input        [[buffer(1)]],   // [any, columns]
    device const uint* rows          [[buffer(2)]],   // [rows]
    device float* out                [[buffer(3)]],   // [rows, columns]
    constant GatherArguments& args   [[buffer(4)]],
    uint thread_id [[thread_position_in_grid]])
{
    const uint per_row = quads_of(args.columns);
    if (thread_id >= args.rows * per_row) return;
    const uint2 place = row_and_group(thread_id, per_row);
    const ulong from = ulong(rows[place.x]) * args.columns;
    const float4 sum =
        load_quad(residual + from, place.y, args.columns) + load_quad(input + from, place.y, args.columns);
    store_quad(out + ulong(place.x) * args.columns, place.y, args.columns, sum);
}

kernel void gather(
    device const float* input        [[buffer(0)]],   // [any, columns]
    device const uint* rows          [[buffer(1)]],   // [rows]
    device float* out                [[buffer(2)]],   // [rows, columns]
    constant GatherArguments& args   [[buffer(3)]],
    uint thread_id [[thread_position_in_grid]])
{
    const uint per_row = quads_of(args.columns);
    if (thread_id >= args.rows * per_row) return;
    const uint2 place = row_and_group(thread_id, per_row);
    const float4 values = load_quad(input + ulong(rows[place.x]) * args.columns, place.y, args.columns);
    store_quad(out + ulong(place.x) * args.columns, place.y, args.columns, values);
}
