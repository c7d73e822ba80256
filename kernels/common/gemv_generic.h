// Packets of formats whose rows are whole blocks, and the packet that any format reader makes.
#pragma once
#include "common/format.h"
#include "common/weights.h"

// What packets of blocks have in common.
struct WholeBlocks {
    enum : uint { TAIL = 0 };
    static float4 input4(device const float* row, uint column) {
        return *(device const float4*)(row + column);
    }
    static float tail(Row row, uint column) { return 0.0f; }
};

// Sixteen elements by `Format::load16`: not the fastest, but every format has it.
template <typename Format>
struct GenericPacket : WholeBlocks {
    enum : uint { ELEMENTS = 16, PARTS = 1, VECTORS = 4 };
    typedef FloatWeights<4> Raw;
    typedef FloatWeights<4> Weights;
    static Row row(Matrix matrix, uint index, uint columns) { return Format::row(matrix, index, columns); }
    static Raw fetch(Row row, uint packet) {
        Raw raw;
        Format::load16(row, packet, raw.w);
        return raw;
    }
    static uint column(uint packet, uint part) { return packet * 16; }
    static Weights unpack(Raw raw, uint packet, uint part) { return raw; }
};
