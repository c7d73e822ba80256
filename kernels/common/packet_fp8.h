// Packets of eight-bit floats: 16 bytes, sixteen elements, under one scale.
#pragma once
#include "common/format_fp8.h"
#include "common/gemv_generic.h"

template <typename Float, typename Scale>
struct PacketFp8 : WholeBlocks {
    enum : uint { ELEMENTS = 16, PARTS = 1, VECTORS = 4 };
    struct Raw { uint4 words; float scale; };
    typedef ScaledWeights<4> Weights;
    static Row row(Matrix matrix, uint index, uint columns) {
        return FormatFp8<Float, Scale>::row(matrix, index, columns);
    }
    static Raw fetch(Row row, uint packet) {
        return { uint4(*(device const packed_uint4*)(row.data + ulong(packet) * 16)), Scale::at(row, packet) };
    }
    static uint column(uint packet, uint part) { return packet * 16; }
    static Weights unpack(Raw raw, uint packet, uint part) {
        Weights weights;
        for (uint i = 0; i < 4; i++) weights.q[i] = fp8_to_half<Float>(raw.words[i]);
        weights.scale = raw.scale;
        return weights;
    }
};

typedef PacketFp8<E4M3, ScaleOfRow> PacketE4M3Row;
typedef PacketFp8<E4M3, ScaleOfSquare> PacketE4M3Square;
typedef PacketFp8<E5M2, ScaleOfRow> PacketE5M2Row;
typedef PacketFp8<E5M2, ScaleOfSquare> PacketE5M2Square;
