// Packets of F32, F16 and BF16: 16 bytes of a row that begins at a multiple of 16, or, in loose rows, four elements.
#pragma once
#include "common/format_plain.h"
#include "common/gemv_generic.h"

struct PacketF32 : WholeBlocks {
    enum : uint { ELEMENTS = 4, PARTS = 1, VECTORS = 1 };
    typedef FloatWeights<1> Raw;
    typedef FloatWeights<1> Weights;
    static Row row(Matrix matrix, uint index, uint columns) { return FormatF32::row(matrix, index, columns); }
    static Raw fetch(Row row, uint packet) { return { { ((device const float4*)row.data)[packet] } }; }
    static uint column(uint packet, uint part) { return packet * 4; }
    static Weights unpack(Raw raw, uint packet, uint part) { return raw; }
};

// Two words of f16 or bf16 as four floats.
struct HalfPairs {
    static float4 unpack(uint2 words) { return float4(as_type<half4>(words)); }
};
struct BFloatPairs {
    static float4 unpack(uint2 words) {
        const uint4 bits = uint4(words.x << 16, words.x & 0xffff0000u, words.y << 16, words.y & 0xffff0000u);
        return as_type<float4>(bits);
    }
};

template <typename Format, typename Pairs>
struct PacketOf16Bits : WholeBlocks {
    enum : uint { ELEMENTS = 8, PARTS = 1, VECTORS = 2 };
    typedef uint4 Raw;
    typedef FloatWeights<2> Weights;
    static Row row(Matrix matrix, uint index, uint columns) { return Format::row(matrix, index, columns); }
    static Raw fetch(Row row, uint packet) { return ((device const uint4*)row.data)[packet]; }
    static uint column(uint packet, uint part) { return packet * 8; }
    static Weights unpack(Raw raw, uint packet, uint part) {
        return { { Pairs::unpack(raw.xy), Pairs::unpack(raw.zw) } };
    }
};

typedef PacketOf16Bits<FormatF16, HalfPairs> PacketF16;
typedef PacketOf16Bits<FormatBF16, BFloatPairs> PacketBF16;

// Rows of any number of columns, at any multiple of an element's size.
template <typename Format>
struct LoosePacket {
    enum : uint { ELEMENTS = 4, PARTS = 1, VECTORS = 1, TAIL = 1 };
    typedef FloatWeights<1> Raw;
    typedef FloatWeights<1> Weights;
    static Row row(Matrix matrix, uint index, uint columns) { return Format::row(matrix, index, columns); }
    static Raw fetch(Row row, uint packet) { return { { Format::load4(row, packet * 4) } }; }
    static uint column(uint packet, uint part) { return packet * 4; }
    static Weights unpack(Raw raw, uint packet, uint part) { return raw; }
    static float4 input4(device const float* row, uint column) {
        return float4(*(device const packed_float4*)(row + column));
    }
    static float tail(Row row, uint column) { return Format::element(row, column); }
};
