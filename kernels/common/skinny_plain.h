// Strips of F16: 32 columns. common/gemm_skinny.h says what a packet is.
#pragma once
#include "common/format_plain.h"
#include "common/gemm_skinny.h"

struct SkinnyF16 {
    enum : uint { COLUMNS = 32, AHEAD = 4 };
    typedef uint4 Raw;
    struct Block {};
    static Row row(Matrix matrix, uint index, uint columns) { return FormatF16::row(matrix, index, columns); }
    static Raw fetch(Row row, uint strip, uint t) { return ((device const uint4*)row.data)[4 * strip + t]; }
    static Block prepare(Raw raw) { return {}; }
    static void unpack(Raw raw, Block block, uint group, thread half2 (&weights)[4]) {
        for (uint i = 0; i < 2; i++) {
            weights[2 * i] = as_type<half2>(permute_bytes(raw[2 * i], raw[2 * i + 1], 0x5410u));
            weights[2 * i + 1] = as_type<half2>(permute_bytes(raw[2 * i], raw[2 * i + 1], 0x7632u));
        }
    }
};
