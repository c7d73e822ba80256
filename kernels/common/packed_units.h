// Packed matrices times few rows: common/packed.h says how they lie, common/packed_record.h how they multiply.
//
// Here 8 rows cost what one costs, about 70 instructions for 1,024 4-bit weights, so that reading W is the limit. (gemv.h multiplies
// one by one: an unpacking and a multiplication for each element, and for each row of the input one more.)
//
// A threadgroup takes every so manieth *unit* of 16 · TILES outputs, and each of its simdgroups every so manieth *chunk* of a
// unit: two records beside each other of each tile of 16 outputs, so that an address serves several loads, and what is loaded
// of the input all tiles. Their sums are added at the end of the unit: neighbours, then neighbouring pairs, and so on.
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
// A unit of a single row ends with one barrier, after its sums are written: those of the next go to another place, and who writes
// to the first again has passed the next unit's barrier, so all have read it.
//
// What a simdgroup adds up, and in which order, depends on the matrix and on how many simdgroups there are: a row of the input gets
// the same bits beside any others, whatever TILES and STAGES are.
//
// Numerics are those of gemm_plain.metal: f16 factors, exact products, sums in f32, and a power of two for each row.
// Bytes: W once for 1, 8 or 16 rows; the input, from the caches, once for each unit.
// Tried: one record instead of a chunk (92 instructions, and 5 % slower), chunks of four (as fast, but short rows spread worse),
// two sets of sums that take turns (no faster), two places for the sums of more than one row (1 % slower), several lanes for each of
// those (a fifth slower), prefetching into the second-level cache (slower), loads behind a branch (as they become where a condition
// guards more than a few; up to a fifth slower), one tile for 16 rows of quantised weights (16 % slower: each row of the input is then
// loaded as often as weights are).
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

// Up to MOST rows of the input that lie in memory as f16. What packed_units takes as an input has the same functions.
template <uint ROW_BLOCKS, uint MOST>
struct HalfRowsInput {
    typedef HeldRows<ROW_BLOCKS> Columns;
    enum : uint { ROWS = MOST };
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

// How a unit's sums lie in threadgroup memory: [simdgroup][ROWS][outputs], padded so that what 32 lanes write, or read of 16, lies in all banks.
template <uint ROWS, uint TILES>
struct UnitMemory {
    enum : uint {
        ROWS_APART = TILES * PACKED_OUTPUTS + 4,
        SIMDGROUPS_APART = (ROWS * ROWS_APART + 29) / 32 * 32 + 2,
        UNIT = 16 * SIMDGROUPS_APART,
        // Of a single row those of the next unit are written while some threads still read those of this.
        UNITS = ROWS == 1 ? 2 : 1,
        FLOATS = UNITS * UNIT
    };
};

// A row's sums of a unit, over all simdgroups: each by one lane or, where there is one row, by as many lanes beside each other as
// there are simdgroups, so that no simdgroup ends the unit later than others. Both ways add neighbours first, then neighbouring
// pairs, and so on: a row's bits don't depend on the way.
template <bool TOGETHER>
struct UnitSums {
    threadgroup const float* own;   // the row's, of the first simdgroup, or of the lane's
    uint simdgroups, apart;         // numbers from those of a simdgroup to those of the next
    float factor;
    // By all lanes that have one together.
    float at(uint n) const thread {
        float total = TOGETHER ? own[n] : eight(n);
        if (TOGETHER) {
            for (uint step = 1; step < simdgroups; step *= 2) total += simd_shuffle_xor(total, ushort(step));
        } else if (simdgroups > 8) {
            total += eight(n + 8 * apart);
        }
        return total * factor;
    }
    float eight(uint n) const thread { return simdgroups > 4 ? four(n) + four(n + 4 * apart) : four(n); }
    float four(uint n) const thread { return (own[n] + own[n + apart]) + (own[n + 2 * apart] + own[n + 3 * apart]); }
};

// Multiplies units with rows first_row .. of the input, of which there are `row_count`. `results.store(unit, m, n, sums, stores)`
// is called for each row m and each of Results::OUTPUTS numbers n of a unit, by all lanes; those without `stores` only add up.
// The walk has a matrix and its units, `partial` is UnitMemory<Input::ROWS, TILES>::FLOATS long.
template <typename Packing, uint ROW_BLOCKS, uint TILES, uint STAGES, typename Input, typename Results>
inline void packed_units(
    PackedWalk<Packing> walk, Input input, uint first_row, uint row_count, threadgroup float* partial,
    threadgroup float (&factors)[8 * ROW_BLOCKS], Results results, PackedTeam team)
{
    typedef UnitMemory<Input::ROWS, TILES> Memory;
    constexpr bool TOGETHER = Input::ROWS == 1;
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

    threadgroup float* sums_of_unit = partial;
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
        if (Memory::UNITS == 1) threadgroup_barrier(mem_flags::mem_threadgroup);   // the unit before is read
        threadgroup float* own = sums_of_unit + simdgroup * Memory::SIMDGROUPS_APART;
        for (uint tile = 0; tile < TILES; tile++) {
            for (uint b = 0; b < ROW_BLOCKS; b++) {
                const float4 sum = sums[tile][b];
                const uint m = 8 * b + 2 * t, n = tile * PACKED_OUTPUTS + g;
                if (m < Input::ROWS) {
                    own[m * Memory::ROWS_APART + n] = sum.x;
                    own[m * Memory::ROWS_APART + n + 8] = sum.z;
                }
                if (m + 1 < Input::ROWS) {
                    own[(m + 1) * Memory::ROWS_APART + n] = sum.y;
                    own[(m + 1) * Memory::ROWS_APART + n + 8] = sum.w;
                }
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        // Each number by one lane, or 32 at a time by as many lanes each as there are simdgroups: 4, 8 or 16.
        const uint bits = TOGETHER ? 31 - clz(simdgroups) : 0, thread_id = 32 * simdgroup + lane;
        const uint from = thread_id & ((1 << bits) - 1), at_once = (32 * simdgroups) >> bits;
        const uint numbers = min(uint(Input::ROWS), row_count - first_row) * Results::OUTPUTS;
        const uint end = TOGETHER ? (numbers + 31) / 32 * 32 : numbers;
        for (uint place = thread_id >> bits; place < end; place += at_once) {
            const uint row = min(place, numbers - 1) / Results::OUTPUTS;
            threadgroup const float* own_sums = sums_of_unit + from * Memory::SIMDGROUPS_APART + row * Memory::ROWS_APART;
            const UnitSums<TOGETHER> unit_sums = { own_sums, simdgroups, Memory::SIMDGROUPS_APART, factors[row] };
            results.store(unit, first_row + row, place % Results::OUTPUTS, unit_sums, from == 0 && place < numbers);
        }
        if (Memory::UNITS == 2) sums_of_unit = partial + (sums_of_unit == partial ? Memory::UNIT : 0);
    }
}
