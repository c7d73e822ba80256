// Packets of MXFP4: 32 elements, 16 bytes of nibbles and a byte of exponent.
//
// In two arrays that is one load of 16 bytes, and the exponents of 32 lanes are 32 neighbouring bytes. A block of ggml has
// 17 bytes, so its nibbles begin anywhere and are read four bytes at a time; the 32 lanes still read 544 bytes in a row,
// each once from memory.
#pragma once
#include "common/format_fp4.h"
#include "common/gemv_generic.h"

struct PacketMXFP4 : WholeBlocks {
    enum : uint { ELEMENTS = 32, PARTS = 2, VECTORS = 4 };
    struct Raw { uint4 words; uchar exponent; };
    typedef ScaledWeights<4> Weights;
    static Row row(Matrix matrix, uint index, uint columns) { return FormatMXFP4::row(matrix, index, columns); }
    static Raw fetch(Row row, uint packet) {
        device const uchar* block = row.data + ulong(packet) * 17;
        const uint4 words = uint4(
            unaligned_word(block + 1), unaligned_word(block + 5), unaligned_word(block + 9), unaligned_word(block + 13));
        return { words, block[0] };
    }
    static uint column(uint packet, uint part) { return packet * 32 + part * 16; }
    static Weights unpack(Raw raw, uint packet, uint part) {
        Weights weights;
        for (uint i = 0; i < 4; i++) weights.q[i] = e2m1_low(raw.words[i] >> (4 * part));
        weights.scale = e8m0(raw.exponent);
        return weights;
    }
};

struct PacketMXFP4Split : WholeBlocks {
    enum : uint { ELEMENTS = 32, PARTS = 2, VECTORS = 4 };
    struct Raw { uint4 words; uchar exponent; };
    typedef ScaledWeights<4> Weights;
    static Row row(Matrix matrix, uint index, uint columns) { return FormatMXFP4Split::row(matrix, index, columns); }
    static Raw fetch(Row row, uint packet) {
        return { uint4(*(device const packed_uint4*)(row.data + ulong(packet) * 16)), row.scales[packet] };
    }
    static uint column(uint packet, uint part) { return packet * 32 + part * 16; }
    static Weights unpack(Raw raw, uint packet, uint part) {
        Weights weights;
        e2m1_eight(part == 0 ? raw.words.x : raw.words.z, weights.q[0], weights.q[1]);
        e2m1_eight(part == 0 ? raw.words.y : raw.words.w, weights.q[2], weights.q[3]);
        weights.scale = e8m0(raw.exponent);
        return weights;
    }
};
