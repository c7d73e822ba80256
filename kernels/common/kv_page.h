// How rows of keys get into the cells of pages.
#pragma once

constant constexpr uint PAGE_TOKENS = 16;
// Rows of a threadgroup at most: as many as a page has tokens.
constant constexpr uint WRITTEN_ROWS = 16;

// What one thread stores of up to 16 rows' keys, which lie in threadgroup memory, into transposed keys that begin at `offset` of
// each row's page. Neighbouring threads store neighbouring tokens: the 16 rows of a prompt become whole 32-byte lines. A single
// row has nothing to gather, and neighbouring threads have its dims.
struct TransposedRow {
    uint row;
    bool held;
    device half* key;
    uint first_dim, step;

    // Where to: that may be found out before there are keys.
    void find(device half* pool, device const uint* slots, uint rows, uint page_stride, uint offset, uint thread_id,
              uint threads) thread {
        const uint bits = 32 - clz(rows - 1);   // rows - 1 has so many: 0 for a single one
        row = thread_id & ((1u << bits) - 1);
        held = row < rows;
        const uint slot = slots[held ? row : 0];
        key = pool + ulong(slot / PAGE_TOKENS) * page_stride + offset + slot % PAGE_TOKENS;
        first_dim = thread_id >> bits;
        step = threads >> bits;
    }
    // Dims 0 .. dims of rows of which one lies at every `padded` elements of `tile`. Four at once: each waits for the tile.
    void store(threadgroup const half* tile, uint padded, uint dims) const thread {
        if (!held) return;
        for (uint dim = first_dim; dim < dims; dim += 4 * step) {
            half four[4];
            for (uint i = 0; i < 4; i++) four[i] = tile[row * padded + min(dim + i * step, dims - 1)];
            for (uint i = 0; i < 4; i++) {
                if (dim + i * step < dims) key[(dim + i * step) * PAGE_TOKENS] = four[i];
            }
        }
    }
};
