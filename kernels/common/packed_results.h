// Where products of packed matrices with few rows leave their results.
#pragma once
#include "common/half_rows.h"
#include "common/joint_rows.h"
#include "common/packed_units.h"
#include "common/silu.h"

// As they are.
template <uint TILES, typename Arguments>
struct PackedResults {
    enum : uint { OUTPUTS = TILES * PACKED_OUTPUTS };
    JointRows rows;
    device const float* bias;
    constant Arguments* args;

    void store(uint unit, uint m, uint n, UnitSums sums) const thread {
        const uint output = unit * OUTPUTS + n;
        if (output >= args->outputs) return;
        const float sum = sums.at(n);
        *joint_part(rows, *args, output).at(m, output) = args->has_bias != 0 ? sum + bias[output] : sum;
    }
};

// The walk over one matrix, or several one after another, in units of TILES tiles of 16 outputs beside each other.
template <typename Packing, uint TILES>
inline PackedWalk<Packing> packed_walk(device const uchar* matrix, uint columns, uint outputs) {
    const uint tiles = (outputs + PACKED_OUTPUTS - 1) / PACKED_OUTPUTS;
    PackedWalk<Packing> walk;
    walk.matrix = matrix;
    walk.columns = columns;
    walk.second_tile = packed_records(columns) * Packing::BYTES;
    walk.unit_bytes = TILES * packed_records(columns) * Packing::BYTES;
    walk.units = (tiles + TILES - 1) / TILES;
    walk.second_tiles = tiles / TILES;
    return walk;
}

// Gated, as f16: gemm_gated.metal says what the power is.
struct GatedResults {
    enum : uint { OUTPUTS = PACKED_OUTPUTS };
    device half* halves;
    device float* inverse;
    uint outputs;
    float power;

    void store(uint unit, uint m, uint n, UnitSums sums) const thread {
        const float gated = Silu<Fast>::apply(sums.at(n)) * sums.at(PACKED_OUTPUTS + n);
        halves[ulong(m) * outputs + unit * PACKED_OUTPUTS + n] = half(gated * power);
        if (unit == 0 && n == 0) inverse[m] = 1.0f / power;
    }
};

// `longest` is what longest_row made of both matrices. There is twice as much room: the input was rounded.
inline float gated_power(device const float* longest, uint columns) {
    const float most = 2.0f * float(columns) * precise::sqrt(longest[0]) * precise::sqrt(longest[1]);
    return min(half_scale(most), 1.0f);
}

// The walk over two matrices of so many outputs one after another: a unit's tiles are of the one and of the other.
template <typename Packing>
inline PackedWalk<Packing> gated_walk(device const uchar* matrix, uint columns, uint outputs) {
    PackedWalk<Packing> walk;
    walk.matrix = matrix;
    walk.columns = columns;
    walk.units = outputs / PACKED_OUTPUTS;
    walk.second_tiles = walk.units;
    walk.unit_bytes = packed_records(columns) * Packing::BYTES;
    walk.second_tile = ulong(walk.units) * walk.unit_bytes;
    return walk;
}
