// Packets of Q4_K, Q5_K and Q6_K: 16 bytes of nibbles, an eighth of a block. Their low nibbles are 16 neighbouring
// elements (part 0), their high ones 16 others (part 1), and each part has one scale.
//
// The eight lanes of a block read its header (or scales, or top bits) together: one access of the cache.
#pragma once
#include "common/format_k.h"
#include "common/gemv_generic.h"

// The quants of Q4_K and Q5_K, packets 0..8 of a block: run packet / 2 is 64 elements, its low nibbles the first 32.
inline uint column_in_runs_of_64(uint packet, uint part) {
    return packet / 2 * 64 + part * 32 + (packet & 1) * 16;
}

// Sets scale and minimum of a part from the header of its block.
inline void set_scale(thread ShiftedWeights<4>& weights, uint4 header, uint packet, uint part) {
    const uint2 scales = (scales_and_minima(header, (packet & 7) / 2) >> (8 * part)) & 0xffu;
    const half2 d = as_type<half2>(header.x);
    weights.scale = float(d.x) * float(scales.x);
    weights.minimum = float(d.y) * float(scales.y);
}

struct PacketQ4_K : WholeBlocks {
    enum : uint { ELEMENTS = 32, PARTS = 2, VECTORS = 4 };
    struct Raw { uint4 header; uint4 words; };
    typedef ShiftedWeights<4> Weights;
    static Row row(Matrix matrix, uint index, uint columns) { return FormatQ4_K::row(matrix, index, columns); }
    static Raw fetch(Row row, uint packet) {
        device const uint4* block = (device const uint4*)(row.data + ulong(packet / 8) * 144);
        return { block[0], block[1 + (packet & 7)] };
    }
    static uint column(uint packet, uint part) { return column_in_runs_of_64(packet, part); }
    static Weights unpack(Raw raw, uint packet, uint part) {
        Weights weights;
        for (uint i = 0; i < 4; i++) {
            weights.q[i] = part == 0 ? low_nibbles(raw.words[i], 0.0h) : high_nibbles(raw.words[i], 0.0h);
        }
        set_scale(weights, raw.header, packet, part);
        return weights;
    }
};

struct PacketQ5_K : WholeBlocks {
    enum : uint { ELEMENTS = 32, PARTS = 2, VECTORS = 4 };
    struct Raw { uint4 header; uint4 fifth; uint4 words; };
    typedef ShiftedWeights<4> Weights;
    static Row row(Matrix matrix, uint index, uint columns) { return FormatQ5_K::row(matrix, index, columns); }
    static Raw fetch(Row row, uint packet) {
        device const uint4* block = (device const uint4*)(row.data + ulong(packet / 8) * 176);
        return { block[0], block[1 + (packet & 1)], block[3 + (packet & 7)] };
    }
    static uint column(uint packet, uint part) { return column_in_runs_of_64(packet, part); }
    static Weights unpack(Raw raw, uint packet, uint part) {
        // Bit g of each byte is the fifth bit of group g: turned to bit 4, above the nibble.
        const uint g = (packet & 7) / 2 * 2 + part;
        const uint4 fifth = rotate(raw.fifth, uint4((4 - g) & 31)) & 0x10101010u;
        const uint4 words = ((raw.words >> (4 * part)) & 0x0f0f0f0fu) | fifth;
        Weights weights;
        for (uint i = 0; i < 4; i++) weights.q[i] = bytes_to_half(words[i], 0.0h);
        set_scale(weights, raw.header, packet, part);
        return weights;
    }
};

struct PacketQ6_K : WholeBlocks {
    enum : uint { ELEMENTS = 32, PARTS = 2, VECTORS = 4 };
    struct Raw { uint4 low; uint4 top; char2 scales; half scale; };
    typedef ScaledWeights<4> Weights;
    static Row row(Matrix matrix, uint index, uint columns) { return FormatQ6_K::row(matrix, index, columns); }
    static Raw fetch(Row row, uint packet) {
        device const uchar* block = row.data + ulong(packet / 8) * 210;
        const uint run = (packet & 7) / 4, within = packet & 3;   // a run is 128 elements
        device const char* scales = (device const char*)(block + 192 + run * 8 + within);
        return { words_at(block + (packet & 7) * 16), words_at(block + 128 + run * 32 + (within & 1) * 16),
                 char2(scales[0], scales[4]), half_at(block + 208) };
    }
    static uint column(uint packet, uint part) {
        return packet / 4 * 128 + part * 64 + (packet & 3) * 16;
    }
    static Weights unpack(Raw raw, uint packet, uint part) {
        // Bits 2 s and 2 s + 1 of each byte belong to elements 32 s of the run on: turned to bits 4 and 5.
        const uint s = (packet & 3) / 2 + 2 * part;
        const uint4 top = rotate(raw.top, uint4((4 - 2 * s) & 31)) & 0x30303030u;
        const uint4 words = ((raw.low >> (4 * part)) & 0x0f0f0f0fu) | top;
        Weights weights;
        for (uint i = 0; i < 4; i++) weights.q[i] = bytes_to_half(words[i], 32.0h);
        weights.scale = float(raw.scale) * float(part == 0 ? raw.scales.x : raw.scales.y);
        return weights;
    }
};
