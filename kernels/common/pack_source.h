// Formats as pack.metal reads them, a number at a time. A source is a struct with
//
//   row(matrix, index, columns)   where a row begins
//   quant(row, column)            the integer n, or an f16's bits
//   scale(row, column)            (scale, minimum) of the column's group: n stands for n · scale + minimum. The minimum is used
//                                 where n counts from 0; otherwise n - 32 or n - 128 is multiplied with the scale
#pragma once
#include "common/format_k.h"
#include "common/format_legacy.h"
#include "common/format_plain.h"

// Scale and minimum of a group of 32 of Q4_K and Q5_K.
inline float2 scale_of_group(device const uchar* block, uint group) {
    const uint4 header = *(device const uint4*)block;
    const uint2 scales = (scales_and_minima(header, group / 2) >> (8 * (group & 1))) & 0xffu;
    const half2 d = as_type<half2>(header.x);
    return float2(float(d.x) * float(scales.x), -(float(d.y) * float(scales.y)));
}

struct SourceQ4_K {
    static Row row(Matrix matrix, uint index, uint columns) { return FormatQ4_K::row(matrix, index, columns); }
    static uint quant(Row row, uint column) {
        const uint within = column % 256;
        return (row.data[column / 256 * 144 + 16 + within / 64 * 32 + within % 32] >> (within % 64 / 32 * 4)) & 15;
    }
    static float2 scale(Row row, uint column) { return scale_of_group(row.data + column / 256 * 144, column % 256 / 32); }
};
struct SourceQ5_K {
    static Row row(Matrix matrix, uint index, uint columns) { return FormatQ5_K::row(matrix, index, columns); }
    static uint quant(Row row, uint column) {
        device const uchar* block = row.data + column / 256 * 176;
        const uint within = column % 256;
        const uint low = (block[48 + within / 64 * 32 + within % 32] >> (within % 64 / 32 * 4)) & 15;
        return low | (block[16 + within % 32] >> (within / 32) & 1) << 4;
    }
    static float2 scale(Row row, uint column) { return scale_of_group(row.data + column / 256 * 176, column % 256 / 32); }
};
struct SourceQ6_K {
    static Row row(Matrix matrix, uint index, uint columns) { return FormatQ6_K::row(matrix, index, columns); }
    static uint quant(Row row, uint column) {
        device const uchar* block = row.data + column / 256 * 210;
        const uint within = column % 128, run = column % 256 / 128, s = within / 32;
        const uint low = block[run * 64 + s % 2 * 32 + within % 32] >> (s / 2 * 4);
        const uint top = block[128 + run * 32 + within % 32] >> (2 * s);
        return (low & 15) | (top & 3) << 4;
    }
    static float2 scale(Row row, uint column) {
        device const uchar* block = row.data + column / 256 * 210;
        return float2(float(half_at(block + 208)) * float(((device const char*)block)[192 + column % 256 / 16]), 0.0f);
    }
};

// The nibble of a column of a block of 32 whose nibbles begin at `nibbles`, and the fifth bit of one whose bits do at `bits`.
inline uint nibble_of_32(device const uchar* nibbles, uint column) {
    return (nibbles[column % 16] >> (column % 32 / 16 * 4)) & 15;
}
inline uint fifth_of_32(device const uchar* bits, uint column) {
    return ((bits[column % 32 / 8] >> (column % 8)) & 1) << 4;
}

struct SourceQ4_0 {
    static Row row(Matrix matrix, uint index, uint columns) { return FormatQ4_0::row(matrix, index, columns); }
    static uint quant(Row row, uint column) { return nibble_of_32(row.data + column / 32 * 18 + 2, column); }
    static float2 scale(Row row, uint column) {
        const float d = float(half_at(row.data + column / 32 * 18));
        return float2(d, -8.0f * d);
    }
};
struct SourceQ4_1 {
    static Row row(Matrix matrix, uint index, uint columns) { return FormatQ4_1::row(matrix, index, columns); }
    static uint quant(Row row, uint column) { return nibble_of_32(row.data + column / 32 * 20 + 4, column); }
    static float2 scale(Row row, uint column) {
        device const uchar* block = row.data + column / 32 * 20;
        return float2(float(half_at(block)), float(half_at(block + 2)));
    }
};
struct SourceQ5_0 {
    static Row row(Matrix matrix, uint index, uint columns) { return FormatQ5_0::row(matrix, index, columns); }
    static uint quant(Row row, uint column) {
        device const uchar* block = row.data + column / 32 * 22;
        return nibble_of_32(block + 6, column) | fifth_of_32(block + 2, column);
    }
    static float2 scale(Row row, uint column) {
        const float d = float(half_at(row.data + column / 32 * 22));
        return float2(d, -16.0f * d);
    }
};
struct SourceQ5_1 {
    static Row row(Matrix matrix, uint index, uint columns) { return FormatQ5_1::row(matrix, index, columns); }
    static uint quant(Row row, uint column) {
        device const uchar* block = row.data + column / 32 * 24;
        return nibble_of_32(block + 8, column) | fifth_of_32(block + 4, column);
    }
    static float2 scale(Row row, uint column) {
        device const uchar* block = row.data + column / 32 * 24;
        return float2(float(half_at(block)), float(half_at(block + 2)));
    }
};
struct SourceQ8_0 {
    static Row row(Matrix matrix, uint index, uint columns) { return FormatQ8_0::row(matrix, index, columns); }
    static uint quant(Row row, uint column) { return row.data[column / 32 * 34 + 2 + column % 32] ^ 0x80u; }
    static float2 scale(Row row, uint column) { return float2(float(half_at(row.data + column / 32 * 34)), 0.0f); }
};
template <typename Format>
struct SourcePlain {
    static Row row(Matrix matrix, uint index, uint columns) { return Format::row(matrix, index, columns); }
    static uint quant(Row row, uint column) { return as_type<ushort>(half(Format::element(row, column))); }
    static float2 scale(Row row, uint column) { return float2(1.0f, 0.0f); }
};
