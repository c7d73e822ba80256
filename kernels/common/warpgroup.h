// Hopper's matrix unit, as kernels see it that multiply with four simdgroups together: it reads one factor from threadgroup
// memory by itself, and works while the kernel goes on.
#pragma once

// The rows of the input as the unit reads them: 64 columns of each row, which are one record's (common/packed.h), in 128
// bytes. A lane's 8 columns (8 t of group s) become four words, because of each instruction's 16 columns it has four, two and
// two: word j goes to the 4-byte place t of piece 4 s + j, and pieces of a row are exchanged by its number, so that what the
// unit reads of 8 rows lies in all banks.
constant constexpr uint WARPGROUP_COLUMNS = 64;
inline void warpgroup_store(threadgroup half* rows, uint row, uint s, uint t, uint4 eight) {
    for (uint j = 0; j < 4; j++)
        *(threadgroup uint*)(rows + row * WARPGROUP_COLUMNS + ((4 * s + j) ^ (row & 7)) * 8 + 2 * t) = eight[j];
}

// What warpgroup_store has put there is seen by products that begin after the barrier that follows.
inline void warpgroup_publish() { msl_warpgroup_publish(); }

// sums[b] += 16 outputs of this simdgroup x rows 8 b .. 8 b + 8, over a record. It goes on after the call: until a wait that
// covers it, `sums` must not be looked at, and nothing may be put where `weights` came from.
template <uint ROW_BLOCKS>
inline void warpgroup_multiply(thread float4 (&sums)[ROW_BLOCKS], thread const half2 (&weights)[4][4], threadgroup const half* rows) {
    msl_warpgroup_multiply(sums, weights, rows);
}

// Until all products but the last are done; until all are.
inline void warpgroup_wait_all_but_last() { msl_warpgroup_wait_all_but_last(); }
inline void warpgroup_wait() { msl_warpgroup_wait(); }
