// Strips of Q8_0 and Q4_0: a block of 32 columns. common/gemm_skinny.h says what a packet is.
#pragma once
#include "common/format_legacy.h"
#include "common/gemm_skinny.h"

struct SkinnyQ8_0 {
    enum : uint { COLUMNS = 32, AHEAD = 4 };
    struct Raw { uint2 words; half scale; };
    struct Block {};
    static Row row(Matrix matrix, uint index, uint columns) { return FormatQ8_0::row(matrix, index, columns); }
    static Raw fetch(Row row, uint strip, uint t) {
        device const uchar* block = row.data + ulong(strip) * 34;
        return { two_words_at(block + 2 + 8 * t), half_at(block) };
    }
    static Block prepare(Raw raw) { return {}; }
    static void unpack(Raw raw, Block block, uint group, thread half2 (&weights)[4]) {
        for (uint i = 0; i < 2; i++) {
            half2 even, odd;
            bytes_to_pairs(raw.words[i] ^ 0x80808080u, 128.0h, even, odd);
            weights[2 * i] = product(even, half2(raw.scale));
            weights[2 * i + 1] = product(odd, half2(raw.scale));
        }
    }
};

