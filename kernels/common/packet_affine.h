// Packets of MLX's affine formats: scale · q + bias, which a sum has as scale · Σ q·x + bias · Σ x, so that the integers are
// multiplied as they are and scale and bias come in once for sixteen elements.
//
// Four bits: a packet is 16 bytes, 32 elements, all in one group. Any other number of bits: a packet is sixteen elements,
// 2 · BITS bytes. Either way neighbouring lanes read neighbouring bytes, and the lanes of a group read its scale and bias
// in one access. Integers of up to 8 bits are exact in f16.
#pragma once
#include "common/format_affine.h"
#include "common/gemv_generic.h"

template <uint BITS, uint GROUP, typename Scale>
struct PacketAffine : WholeBlocks {
    enum : uint { ELEMENTS = 16, PARTS = 1, VECTORS = 4 };
    struct Raw { uint4 words; float scale; float bias; };
    typedef ShiftedWeights<4> Weights;
    static Row row(Matrix matrix, uint index, uint columns) {
        return FormatAffine<BITS, GROUP, Scale>::row(matrix, index, columns);
    }
    static Raw fetch(Row row, uint packet) {
        const uint group = packet / (GROUP / 16);
        return {
            Packed16<BITS>::at(row.data + ulong(packet) * (2 * BITS)),
            Scale::at(row.scales, group), Scale::at(row.biases, group)
        };
    }
    static uint column(uint packet, uint part) { return packet * 16; }
    static Weights unpack(Raw raw, uint packet, uint part) {
        Weights weights;
        for (uint i = 0; i < 4; i++) weights.q[i] = bytes_to_half(raw.words[i], 0.0h);
        weights.scale = raw.scale;
        weights.minimum = -raw.bias;
        return weights;
    }
};

// The eight nibbles of a word in order. Nibbles 0 and 4 are at bits 0 and 16 of the word, 1 and 5 four bits further (so
// times 16), and the other four are so in the word shifted by a byte: one shift for eight elements.
inline void nibbles_in_order(uint word, thread half4* q) {
    const uint upper = word >> 8;
    const half2 a = halves_1024(word & 0x000f000fu) - half2(1024.0h);
    const half2 b = fma(halves_1024(word & 0x00f000f0u), half2(0.0625h), half2(-64.0h));
    const half2 c = halves_1024(upper & 0x000f000fu) - half2(1024.0h);
    const half2 d = fma(halves_1024(upper & 0x00f000f0u), half2(0.0625h), half2(-64.0h));
    q[0] = half4(a.x, b.x, c.x, d.x);
    q[1] = half4(a.y, b.y, c.y, d.y);
}

template <uint GROUP, typename Scale>
struct PacketAffine<4, GROUP, Scale> : WholeBlocks {
    enum : uint { ELEMENTS = 32, PARTS = 2, VECTORS = 4 };
    struct Raw { uint4 words; float scale; float bias; };
    typedef ShiftedWeights<4> Weights;
    static Row row(Matrix matrix, uint index, uint columns) {
        return FormatAffine<4, GROUP, Scale>::row(matrix, index, columns);
    }
    static Raw fetch(Row row, uint packet) {
        const uint group = packet / (GROUP / 32);
        return {
            uint4(*(device const packed_uint4*)(row.data + ulong(packet) * 16)),
            Scale::at(row.scales, group), Scale::at(row.biases, group)
        };
    }
    static uint column(uint packet, uint part) { return packet * 32 + part * 16; }
    static Weights unpack(Raw raw, uint packet, uint part) {
        Weights weights;
        nibbles_in_order(part == 0 ? raw.words.x : raw.words.z, weights.q);
        nibbles_in_order(part == 0 ? raw.words.y : raw.words.w, weights.q + 2);
        weights.scale = raw.scale;
        weights.minimum = -raw.bias;
        return weights;
    }
};
