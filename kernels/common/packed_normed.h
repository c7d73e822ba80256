// A single row that is normed on its way into products of packed matrices: each threadgroup norms it for itself, instead of a
// launch that all of them wait for.
//
//   x = residual (+ added)        input = x · rsqrt(mean(x²) + epsilon) · (weight + offset)
//
// as f16 with a power of two (common/half_rows.h), in threadgroup memory. Where it is wanted, the first threadgroup writes x, to
// another place than the residual, which others may still have to read.
//
// A thread has QUADS quads at most: 16 times as many columns as threads.
#pragma once
#include "common/packed_results.h"
#include "common/team.h"

constant constexpr uint NORMED_COLUMNS = 8192;

// A lane's columns of a record, of the only row. (The other columns of the matrix unit take it too, and nobody looks at them.)
struct NormedColumns {
    threadgroup const half* from;
    uint4 at(uint, uint s) const thread { return *(threadgroup const uint4*)(from + 32 * s); }
};

struct NormedInput {
    typedef NormedColumns Columns;
    enum : uint { ROWS = 1, QUADS = 4 };
    device const float* residual;   // [columns]
    device const float* added;      // [columns], where `adds` is not 0
    device const float* weight;     // [columns]
    device float* sum;              // [columns], where `adds` is 2
    uint columns, adds;
    float epsilon, offset;
    bool writes;                    // whether this threadgroup writes the sum, where it is wanted
    threadgroup half* row;          // [NORMED_COLUMNS]
    threadgroup float* partial;     // [64]
    uint lane_column;               // 8 t

    void begin(threadgroup float* factors, PackedTeam team) thread {
        const Team threads = { 32 * team.simdgroup + team.lane, 32 * team.simdgroups, team.lane, team.simdgroup, team.simdgroups };
        const uint quads = columns / 4, last = quads - 1;
        float4 weights[QUADS], x[QUADS], more[QUADS];
        for (uint k = 0; k < QUADS; k++) weights[k] = ((device const float4*)weight)[min(k * threads.count + threads.index, last)];
        after_earlier_launches();
        for (uint k = 0; k < QUADS; k++) x[k] = ((device const float4*)residual)[min(k * threads.count + threads.index, last)];
        if (adds != 0)
            for (uint k = 0; k < QUADS; k++) more[k] = ((device const float4*)added)[min(k * threads.count + threads.index, last)];
        float squares = 0.0f, most = 0.0f;
        for (uint k = 0; k < QUADS; k++) {
            if (adds != 0) x[k] += more[k];
            weights[k] += offset;
            if (k * threads.count + threads.index > last) x[k] = float4(0.0f);
            squares += dot(x[k], x[k]);
            most = max(most, greatest_of(x[k] * weights[k]));
        }
        const SumAndGreatest all = team_sum_and_greatest(squares, most, partial, threads);
        const float scale = precise::rsqrt(all.sum / float(columns) + epsilon), power = half_scale(all.greatest * scale);
        for (uint k = 0; k < QUADS; k++) {
            const uint quad = k * threads.count + threads.index;
            if (quad > last) continue;
            ((threadgroup half4*)row)[quad] = half4(x[k] * scale * weights[k] * power);
            if (adds == 2 && writes) ((device float4*)sum)[quad] = x[k];
        }
        if (team.simdgroup == 0 && team.lane < 8) factors[team.lane] = 1.0f / power;
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    void fetch(uint, bool, thread HeldRows<1>&) const thread {}
    NormedColumns at(HeldRows<1>, uint column) const thread { return { row + column + lane_column }; }
};
