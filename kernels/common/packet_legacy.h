// Packets of Q8_0 (half a block) and Q4_0 (a block): 16 bytes of quants each, at any multiple of 2.
#pragma once
#include "common/format_legacy.h"
#include "common/gemv_generic.h"

struct PacketQ8_0 : WholeBlocks {
    enum : uint { ELEMENTS = 16, PARTS = 1, VECTORS = 4 };
    struct Raw { uint4 words; half scale; };
    typedef ScaledWeights<4> Weights;
    static Row row(Matrix matrix, uint index, uint columns) { return FormatQ8_0::row(matrix, index, columns); }
    static Raw fetch(Row row, uint packet) {
        device const uchar* block = row.data + ulong(packet / 2) * 34;
        return { words_at(block + 2 + (packet & 1) * 16), half_at(block) };
    }
    static uint column(uint packet, uint part) { return packet * 16; }
    static Weights unpack(Raw raw, uint packet, uint part) {
        const uint4 words = raw.words ^ 0x80808080u;   // signed bytes plus 128
        Weights weights;
        for (uint i = 0; i < 4; i++) weights.q[i] = bytes_to_half(words[i], 128.0h);
        weights.scale = float(raw.scale);
        return weights;
    }
};

struct PacketQ4_0 : WholeBlocks {
    enum : uint { ELEMENTS = 32, PARTS = 2, VECTORS = 4 };
    struct Raw { uint4 words; half scale; };
    typedef ScaledWeights<4> Weights;
    static Row row(Matrix matrix, uint index, uint columns) { return FormatQ4_0::row(matrix, index, columns); }
    static Raw fetch(Row row, uint packet) {
        device const uchar* block = row.data + ulong(packet) * 18;
        return { words_at(block + 2), half_at(block) };
    }
    static uint column(uint packet, uint part) { return packet * 32 + part * 16; }
    static Weights unpack(Raw raw, uint packet, uint part) {
        Weights weights;
        for (uint i = 0; i < 4; i++) {
            weights.q[i] = part == 0 ? low_nibbles(raw.words[i], 8.0h) : high_nibbles(raw.words[i], 8.0h);
        }
        weights.scale = float(raw.scale);
        return weights;
    }
};
