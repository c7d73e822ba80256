// Packed matrices times few rows: common/packed.h says how they lie, common/packed_record.h how they multiply.
//
// Here 8 rows cost what one costs, about 70 instructions for 1,024 4-bit weights, so that reading W is the limit. (gemv.h multiplies
// one by one: an unpacking and a multiplication for each element, and for each row of the input one more.)
//
// A threadgroup takes every so manieth *unit* of 16 · TILES outputs, and each of its simdgroups every so manieth *chunk* of a
// unit: two records beside each other of each tile of 16 outputs, so that an address serves several loads, and what is loaded
// of the input all tiles. Their sums are added at the end of the unit, in order.
//
//   k:          | chunk 0 | chunk 1 | ... | chunk 16 |        16 simdgroups
//   outputs 0   |   s 0   |   s 1   | ... |   s 0    |  \ unit 0, of two tiles
//   outputs 16  |   s 0   |   s 1   | ... |   s 0    |  /
//
// A simdgroup has asked for STAGES chunks, and for what they are multiplied with, before it needs the first, across the ends of
// units and, where it can (common/earlier.h), before the launch before this has ended. The input is asked for as early as the
// weights because a core's loads come back in the order in which they were asked for: behind weights, even what is in the
// core's cache takes as long as memory.
//
// What a simdgroup adds up, and in which order, depends on the matrix and the device: a row of the input gets the same bits
// beside any others, whatever TILES and STAGES are.
//
// Numerics are those of gemm_plain.metal: f16 factors, exact products, sums in f32, and a power of two for each row.
// Bytes: W once for 8 or 16 rows; the input, from the caches, once for each unit.
// Tried: one record instead of a chunk (92 instructions, and 5 % slower), chunks of four (as fast, but short rows spread worse),
// two sets of sums that take turns (no faster), prefetching into the second-level cache (slower), loads behind a branch (as they
// become where a condition guards more than a few; up to a fifth slower), one tile for 16 rows of quantised weights (16 %
// slower: each row of the input is then loaded as often as weights are).
// Twin: wootz_backend::cpu::reference::linear on decoded weights.
#pragma once
#include "common/earlier.h"
#include "common/packed_record.h"

// Records of a chunk.
constant constexpr uint CHUNK = 2, CHUNK_COLUMNS = CHUNK * PACKED_COLUMNS;

// The chunks of a simdgroup, in its order.
template <typename Packing>
struct PackedWalk {
    device const uchar* matrix;
    device const uchar* record;       // the first of the chunk that comes next, of the first tile
    uint unit, units, units_apart;
    uint unit_bytes;                  // from a unit's first tile to that of the next
    uint second_tiles;                // units that have two
    ulong second_tile;                // bytes from a unit's first tile to its second
    uint column, columns, first_column, columns_apart;
    uint step, steps;                 // of a unit: for all simdgroups as many, some without a chunk

    void begin_unit() thread {
        step = 0;
        column = first_column;
        record = matrix + ulong(unit) * unit_bytes + first_column / PACKED_COLUMNS * Packing::BYTES;
    }
    void next() thread {
        step++;
        column += columns_apart;
        record += columns_apart / PACKED_COLUMNS * Packing::BYTES;
        if (step == steps) {
            unit += units_apart;
            begin_unit();
        }
    }
    bool has_chunk() const thread { return unit < units && column < columns; }
    // Where there is no second tile, the first stands in its place.
    ulong tile_apart() const thread { return unit < second_tiles ? second_tile : 0; }
};

// A lane's columns of a record, of all rows.
template <uint ROW_BLOCKS>
struct HeldRows {
    uint4 held[ROW_BLOCKS][2];
    uint4 at(uint block, uint s) const thread { return held[block][s]; }
};

// What a lane holds of a chunk, and of what it is multiplied with.
template <typename Packing, uint TILES, uint ROW_BLOCKS>
struct HeldChunk {
    typename Packing::Raw raw[CHUNK][TILES];
    HeldRows<ROW_BLOCKS> inputs[CHUNK];
};

// Loads what comes next of the weights and of the input, where there is something.
template <typename Packing, uint TILES, uint ROW_BLOCKS>
inline void fetch_weights(thread HeldChunk<Packing, TILES, ROW_BLOCKS>& chunk, PackedWalk<Packing> walk, uint lane) {
    for (uint tile = 0; tile < TILES; tile++)
        for (uint r = 0; r < CHUNK; r++)
            Packing::fetch(walk.record + (tile == 0 ? 0 : walk.tile_apart()) + r * Packing::BYTES, lane, chunk.raw[r][tile],
                           walk.has_chunk());
}
// The columns of the input that a chunk is multiplied with begin here: a last record by itself has one of zeros before it, which
// takes the columns before those of the last.
inline uint input_column(uint column, uint columns) { return min(column, columns - CHUNK_COLUMNS); }

// What the threads of a threadgroup have in common, and which of them one is.
struct PackedTeam {
    uint group, groups, simdgroup, simdgroups, lane;
};

// Rows of the input that lie in memory as f16. What packed_units takes as an input has the same functions.
template <uint ROW_BLOCKS>
struct HalfRowsInput {
    typedef HeldRows<ROW_BLOCKS> Columns;
    device const half* row[ROW_BLOCKS];   // where a lane's columns begin of rows g, g + 8 and so on
    device const float* inverse;          // [rows]: sums are multiplied with it
    uint first_row, rows;

    void set(device const half* input, uint columns, uint lane) thread {
        const uint g = lane / 4, t = lane % 4;
        for (uint b = 0; b < ROW_BLOCKS; b++) row[b] = input + ulong(min(first_row + 8 * b + g, rows - 1)) * columns + 8 * t;
    }
    // Waits for the launches before, and makes the input ready: by the whole threadgroup.
    void begin(threadgroup float* factors, PackedTeam team) thread {
        after_earlier_launches();
        if (team.simdgroup == 0 && team.lane < 8 * ROW_BLOCKS)
            factors[team.lane] = inverse[min(first_row + team.lane, rows - 1)];
    }
    // Asks for what a lane holds of a record's columns, and gives it.
    void fetch(uint column, bool wanted, thread HeldRows<ROW_BLOCKS>& held) const thread {
        for (uint b = 0; b < ROW_BLOCKS; b++)
            for (uint s = 0; s < 2; s++) {
                uint4 one = held.held[b][s];
                load_if(wanted, (device const uint4*)(row[b] + column + 32 * s), one);
                held.held[b][s] = one;
            }
    }
    HeldRows<ROW_BLOCKS> at(HeldRows<ROW_BLOCKS> held, uint) const thread { return held; }
};

// A row's sums of a unit, over all simdgroups.
struct UnitSums {
    threadgroup const float* of_first;   // those of the first simdgroup
    uint simdgroups, apart;              // numbers from those of a simdgroup to those of the next
    float factor;
    float at(uint n) const thread {
        float total = 0.0f;
        for (uint s = 0; s < simdgroups; s += 4) {
            threadgroup const float* four = of_first + s * apart + n;
            total += (four[0] + four[apart]) + (four[2 * apart] + four[3 * apart]);
        }
        return total * factor;
    }
};

// Multiplies units with rows first_row .. of the input. `results.store(unit, m, n, sums)` is called for each row m and each of
// Results::OUTPUTS numbers n of a unit; one that is not there must not be stored. The walk has a matrix and its units.
template <typename Packing, uint ROW_BLOCKS, uint TILES, uint STAGES, typename Input, typename Results>
inline void packed_units(
    PackedWalk<Packing> walk, Input input, uint first_row, uint row_count,
    threadgroup float (&partial)[16][8 * ROW_BLOCKS][TILES * PACKED_OUTPUTS + 4], threadgroup float (&factors)[8 * ROW_BLOCKS],
    Results results, PackedTeam team)
{
    constexpr uint ROWS = 8 * ROW_BLOCKS;
    const uint simdgroup = team.simdgroup, simdgroups = team.simdgroups, lane = team.lane, g = lane / 4, t = lane % 4;
    walk.unit = team.group;
    walk.units_apart = team.groups;
    walk.first_column = simdgroup * CHUNK_COLUMNS;
    walk.columns_apart = simdgroups * CHUNK_COLUMNS;
    walk.steps = (walk.columns + walk.columns_apart * STAGES - 1) / (walk.columns_apart * STAGES) * STAGES;
    walk.begin_unit();

    HeldChunk<Packing, TILES, ROW_BLOCKS> chunks[STAGES];
    PackedWalk<Packing> multiplied = walk;
    for (uint i = 0; i < STAGES; i++) {   // all conditions hold for the whole simdgroup
        fetch_weights(chunks[i], walk, lane);
        walk.next();
    }
    input.begin(&factors[0], team);
    for (uint i = 0; i < STAGES; i++) {
        const uint begin = input_column(multiplied.column, walk.columns);
        for (uint r = 0; r < CHUNK; r++) input.fetch(begin + r * PACKED_COLUMNS, multiplied.has_chunk(), chunks[i].inputs[r]);
        multiplied.next();
    }

    for (uint unit = team.group; unit < walk.units; unit += team.groups) {   // the whole threadgroup
        float4 sums[TILES][ROW_BLOCKS];
        clear_sums(sums);
        uint column = walk.first_column;
        for (uint step = 0; step < walk.steps; step += STAGES) {
            for (uint i = 0; i < STAGES; i++) {
                if (column < walk.columns) {
                    const uint begin = input_column(column, walk.columns);
                    for (uint r = 0; r < CHUNK; r++) {
                        const typename Input::Columns columns = input.at(chunks[i].inputs[r], begin + r * PACKED_COLUMNS);
                        packed_record<Packing>(chunks[i].raw[r], columns, sums);
                    }
                }
                column += walk.columns_apart;
                fetch_weights(chunks[i], walk, lane);
                const uint begin = input_column(walk.column, walk.columns);
                for (uint r = 0; r < CHUNK; r++) input.fetch(begin + r * PACKED_COLUMNS, walk.has_chunk(), chunks[i].inputs[r]);
                walk.next();
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);   // the unit before is read
        for (uint tile = 0; tile < TILES; tile++) {
            for (uint b = 0; b < ROW_BLOCKS; b++) {
                const float4 sum = sums[tile][b];
                const uint m = 8 * b + 2 * t, n = tile * PACKED_OUTPUTS + g;
                partial[simdgroup][m][n] = sum.x;
                partial[simdgroup][m + 1][n] = sum.y;
                partial[simdgroup][m][n + 8] = sum.z;
                partial[simdgroup][m + 1][n + 8] = sum.w;
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        for (uint place = 32 * simdgroup + lane; place < ROWS * Results::OUTPUTS; place += 32 * simdgroups) {
            const uint row = place / Results::OUTPUTS, m = first_row + row;
            const UnitSums row_sums = { partial[0][row], simdgroups, ROWS * (TILES * PACKED_OUTPUTS + 4), factors[row] };
            if (m < row_count) results.store(unit, m, place % Results::OUTPUTS, row_sums);
        }
    }
}
