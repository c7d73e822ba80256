// A row's root-mean-square norm, by the threads of a threadgroup: norm.metal says who holds what.
#pragma once
#include "common/earlier.h"
#include "common/half_rows.h"

// Quads that a thread keeps in registers.
constant constexpr uint KEPT = 4;

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

// What a norm reads and writes of a row.
struct NormedRow {
    device const float* input;
    device float* residual;         // where something is added
    device const float* weight;
    device float* out;              // where `floats`
    bool floats;
    device half* halves;            // where it is made
    device float* inverse;

    bool whole(uint width) const thread {
        return whole_vectors(input, width) && whole_vectors(residual, width) && whole_vectors(weight, width)
            && whole_vectors(out, width) && at_half_vector(halves);
    }
};

// WHOLE is what the row says of itself.
template <bool ADD, bool HALF, bool WHOLE>
inline void rms_norm_as(NormedRow row, constant NormArguments& args, threadgroup float* partial, Team team) {
    const uint width = args.width, quads = quads_of(width);
    // Everything is asked for before anything is waited for, and the weight, which no launch writes, before the launches before
    // this one have ended.
    float4 kept[KEPT], before[KEPT], weights[KEPT];
    load_quads<KEPT, WHOLE>(row.weight, team.index, team.count, width, weights);
    after_earlier_launches();
    load_quads<KEPT, WHOLE>(row.input, team.index, team.count, width, kept);
    if (ADD) load_quads<KEPT, WHOLE>(row.residual, team.index, team.count, width, before);
    // The sum of squares, and with HALF the greatest magnitude before the factor, which is positive.
    float sum = 0.0f, most = 0.0f;
    for (uint k = 0; k < KEPT; k++) {
        if (ADD) kept[k] += before[k];
        weights[k] += args.offset;
        if (k * team.count + team.index >= quads) kept[k] = float4(0.0f);
        sum += dot(kept[k], kept[k]);
        if (HALF) most = max(most, greatest_of(kept[k] * weights[k]));
    }
    for (uint quad = KEPT * team.count + team.index; quad < quads; quad += team.count) {
        const float4 value = take<ADD>(row.input, row.residual, quad, width);
        sum += dot(value, value);
        if (HALF) most = max(most, greatest_of(value * (load_quad(row.weight, quad, width) + args.offset)));
    }
    SumAndGreatest all = {0.0f, 0.0f};
    if (HALF) all = team_sum_and_greatest(sum, most, partial, team);
    else all.sum = team_sum(sum, partial, team);
    const float scale = precise::rsqrt(all.sum / float(width) + args.epsilon);
    // A few roundings from that of the greatest of the results: half_scale leaves a factor of nearly two.
    float power = 1.0f;
    if (HALF) power = half_scale(all.greatest * scale);
    if (HALF && team.index == 0) *row.inverse = 1.0f / power;
    for (uint k = 0; k < KEPT; k++) {
        const uint quad = k * team.count + team.index;
        if (quad >= quads) continue;
        // Not before the sums: what is stored would be in their way.
        if (ADD) store_quad<WHOLE>(row.residual, quad, width, kept[k]);
        const float4 value = kept[k] * scale * weights[k];
        if (row.floats) store_quad<WHOLE>(row.out, quad, width, value);
        if (HALF) store_half_quad<WHOLE>(row.halves, quad, width, value * power);
    }
    device const float* summed = row.input;
    if (ADD) summed = row.residual;
    for (uint quad = KEPT * team.count + team.index; quad < quads; quad += team.count) {
        const float4 value = load_quad(summed, quad, width) * scale * (load_quad(row.weight, quad, width) + args.offset);
        if (row.floats) store_quad<WHOLE>(row.out, quad, width, value);
        if (HALF) store_half_quad<WHOLE>(row.halves, quad, width, value * power);
    }
}

template <bool ADD, bool HALF>
inline void rms_norm_row(NormedRow row, constant NormArguments& args, threadgroup float* partial, Team team) {
    if (row.whole(args.width)) rms_norm_as<ADD, HALF, true>(row, args, partial, team);
    else rms_norm_as<ADD, HALF, false>(row, args, partial, team);
}
