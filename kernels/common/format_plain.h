// F32, F16 and BF16: elements that stand by themselves.
//
// Rows may have any number of columns, so besides load16 a plain format has
//
//   static float element(Row row, uint column)
//   static float4 load4(Row row, uint column)     elements column .. column + 4
//
// and nothing is asked of alignment but the element's own: a packed vector is one load on Apple GPUs wherever its
// elements are aligned. BF16 is the upper half of an F32, so that it needs no bfloat type, which M1 and M2 lack.
#pragma once
#include "common/format.h"

struct FormatF32 {
    static Row row(Matrix matrix, uint index, uint columns) {
        return { matrix.data + ulong(index) * (ulong(columns) * 4), matrix.scales, matrix.biases };
    }
    static float element(Row row, uint column) {
        return ((device const float*)row.data)[column];
    }
    static float4 load4(Row row, uint column) {
        return float4(*(device const packed_float4*)(row.data + ulong(column) * 4));
    }
    static void load16(Row row, uint group, thread float4* out) {
        for (uint i = 0; i < 4; i++) out[i] = load4(row, group * 16 + i * 4);
    }
};

struct FormatF16 {
    static Row row(Matrix matrix, uint index, uint columns) {
        return { matrix.data + ulong(index) * (ulong(columns) * 2), matrix.scales, matrix.biases };
    }
    static float element(Row row, uint column) {
        return float(((device const half*)row.data)[column]);
    }
    static float4 load4(Row row, uint column) {
        return float4(half4(*(device const packed_half4*)(row.data + ulong(column) * 2)));
    }
    static void load16(Row row, uint group, thread float4* out) {
        for (uint i = 0; i < 4; i++) out[i] = load4(row, group * 16 + i * 4);
    }
};

struct FormatBF16 {
    static Row row(Matrix matrix, uint index, uint columns) {
        return { matrix.data + ulong(index) * (ulong(columns) * 2), matrix.scales, matrix.biases };
    }
    static float element(Row row, uint column) {
        return as_type<float>(uint(((device const ushort*)row.data)[column]) << 16);
    }
    static float4 load4(Row row, uint column) {
        const ushort4 bits = ushort4(*(device const packed_ushort4*)(row.data + ulong(column) * 2));
        return as_type<float4>(uint4(bits) << 16u);
    }
    static void load16(Row row, uint group, thread float4* out) {
        for (uint i = 0; i < 4; i++) out[i] = load4(row, group * 16 + i * 4);
    }
};
