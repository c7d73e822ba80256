// How rows of keys get into the cells of pages.
#pragma once

constant constexpr uint PAGE_TOKENS = 16;
// Rows of a threadgroup at most: as many as a page has tokens.
constant constexpr uint WRITTEN_ROWS = 16;

// Stores dims 0 .. dims of `rows` rows, of which one lies at every `padded` elements of `tile`, into a transposed key that
// begins at `offset` of each row's page. Neighbouring threads store neighbouring tokens: the 16 rows of a prompt become whole
// 32-byte lines. A single row has nothing to gather, and neighbouring threads have its dims.
inline void store_transposed(
    threadgroup const half* tile, uint padded, device half* pool, device const uint* slots,
    uint rows, uint dims, uint page_stride, uint offset, uint thread_id, uint threads)
{
    const uint bits = 32 - clz(rows - 1);   // rows - 1 has so many: 0 for a single one
    const uint row = thread_id & ((1u << bits) - 1);
    if (row >= rows) return;
    const uint slot = slots[row];
    device half* key = pool + ulong(slot / PAGE_TOKENS) * page_stride + offset + slot % PAGE_TOKENS;
    for (uint dim = thread_id >> bits; dim < dims; dim += threads >> bits)
        key[dim * PAGE_TOKENS] = tile[row * padded + dim];
}
