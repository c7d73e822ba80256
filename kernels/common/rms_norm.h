// A row's root-mean-square norm, by the threads of a threadgroup: norm.metal says who holds what.
#pragma once
#include "common/half_rows.h"

// Quads that a thread keeps in registers.
constant constexpr uint KEPT = 2;

// A quad of what is normed; with ADD that is the residual, brought up to date in memory on the way.
template <bool ADD>
inline float4 take(device const float* input, device float* residual, uint quad, uint width) {
    float4 value = load_quad(input, quad, width);
    if (ADD) {
        value += load_quad(residual, quad, width);
        store_quad(residual, quad, width, value);
    }
    return value;
}

// Where a norm's result goes as f16 too.
struct Halves {
    device half* rows;        // [rows, width]
    device float* inverse;    // [rows]
};

// A thread's quads of all that a norm reads: everything is asked for before anything is waited for.
template <bool ADD, bool WHOLE>
inline void load_rows(
    device const float* input, device const float* residual, device const float* weight, uint width, Team team,
    thread float4 (&kept)[KEPT], thread float4 (&before)[KEPT], thread float4 (&weights)[KEPT])
{
    load_quads<KEPT, WHOLE>(input, team.index, team.count, width, kept);
    if (ADD) load_quads<KEPT, WHOLE>(residual, team.index, team.count, width, before);
    load_quads<KEPT, WHOLE>(weight, team.index, team.count, width, weights);
}

template <bool ADD, bool HALF>
inline void rms_norm_row(
    device const float* input, device float* residual, device const float* weight, device float* out, Halves halves,
    constant NormArguments& args, uint row, threadgroup float* partial, Team team)
{
    const uint width = args.width;
    const uint quads = quads_of(width);
    const ulong start = ulong(row) * width;
    input += start;
    residual += start;
    out += start;
    device const float* summed = input;
    if (ADD) summed = residual;

    float4 kept[KEPT], before[KEPT], weights[KEPT];
    if (whole_vectors(input, width) && whole_vectors(residual, width) && whole_vectors(weight, width))
        load_rows<ADD, true>(input, residual, weight, width, team, kept, before, weights);
    else
        load_rows<ADD, false>(input, residual, weight, width, team, kept, before, weights);
    float sum = 0.0f;
    for (uint k = 0; k < KEPT; k++) {
        if (ADD) {
            kept[k] += before[k];
            store_quad(residual, k * team.count + team.index, width, kept[k]);
        }
        sum += dot(kept[k], kept[k]);
    }
    for (uint quad = KEPT * team.count + team.index; quad < quads; quad += team.count) {
        const float4 value = take<ADD>(input, residual, quad, width);
        sum += dot(value, value);
    }
    const float scale = precise::rsqrt(team_sum(sum, partial, team) / float(width) + args.epsilon);
    const bool floats = !HALF || args.has_out != 0;
    float most = 0.0f;
    for (uint k = 0; k < KEPT; k++) {
        const uint quad = k * team.count + team.index;
        kept[k] = kept[k] * scale * (weights[k] + args.offset);
        if (floats && quad < quads) store_quad(out, quad, width, kept[k]);
        if (HALF) most = max(most, greatest_of(within_row(kept[k], quad, width)));
    }
    for (uint quad = KEPT * team.count + team.index; quad < quads; quad += team.count) {
        const float4 value = load_quad(summed, quad, width) * scale * (load_quad(weight, quad, width) + args.offset);
        if (floats) store_quad(out, quad, width, value);
        if (HALF) most = max(most, greatest_of(within_row(value, quad, width)));
    }
    if (HALF) {
        // The second half of `partial`: other threads may still read the first.
        const float power = half_scale(team_max(most, partial + 32, team));
        if (team.index == 0) halves.inverse[row] = 1.0f / power;
        for (uint k = 0; k < KEPT; k++) {
            const uint quad = k * team.count + team.index;
            if (quad < quads) store_half_quad(halves.rows + start, quad, width, kept[k] * power);
        }
        for (uint quad = KEPT * team.count + team.index; quad < quads; quad += team.count) {
            const float4 value = load_quad(summed, quad, width) * scale * (load_quad(weight, quad, width) + args.offset);
            store_half_quad(halves.rows + start, quad, width, value * power);
        }
    }
}
