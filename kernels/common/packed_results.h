// Where products of packed matrices with few rows leave their results.
#pragma once
#include "common/half_rows.h"
#include "common/joint_rows.h"
#include "common/packed_units.h"
#include "common/silu.h"

// As they are.
template <uint TILES>
struct PackedResults {
    enum : uint { OUTPUTS = TILES * PACKED_OUTPUTS };
    JointRows rows;
    JointShape shape;
    device const float* bias;   // [shape.outputs], where has_bias
    bool has_bias;

    template <bool TOGETHER>
    void store(uint unit, uint m, uint n, UnitSums<TOGETHER> sums, bool stores) const thread {
        const uint output = unit * OUTPUTS + n;
        const float sum = sums.at(n);
        if (!stores || output >= shape.outputs) return;
        *joint_part(rows, shape, output).at(m, output) = has_bias ? sum + bias[output] : sum;
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

    template <bool TOGETHER>
    void store(uint unit, uint m, uint n, UnitSums<TOGETHER> sums, bool stores) const thread {
        const float gated = Silu<Fast>::apply(sums.at(n)) * sums.at(PACKED_OUTPUTS + n);
        if (!stores) return;
        halves[ulong(m) * outputs + unit * PACKED_OUTPUTS + n] = half(gated * power);
        if (unit == 0 && n == 0) inverse[m] = 1.0f / power;
    }
};

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
