// Matrices of the usual formats to packed ones (common/packed.h), once when a model is loaded; and packed ones to rows of f16
// for the device's own library.
//
// Grid of both: x over records of 16 outputs, y over groups of 16 outputs; a simdgroup a threadgroup makes or reads a record.
// Rows beyond the matrix are packed as zeros: n that stand for 0, or scales of 0.
//
// A source is a struct with
//
//   PackedX                  what it becomes
//   quant(row, column)       the integer n, or an f16's bits
//   scale(row, column)       (scale, rest) of the column's group, as half2; rest is used by nibbles only
//
// Numbers are those of the format: nothing is rounded but products of two scales (Q4_K, Q6_K), to f16, and bf16 below 2⁻¹⁴.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/format_k.h"
#include "common/format_legacy.h"
#include "common/format_plain.h"
#include "common/packed.h"

struct SourceQ4_K {
    static Row row(Matrix matrix, uint index, uint columns) { return FormatQ4_K::row(matrix, index, columns); }
    static uint quant(Row row, uint column) {
        const uint within = column % 256;
        return (row.data[column / 256 * 144 + 16 + within / 64 * 32 + within % 32] >> (within % 64 / 32 * 4)) & 15;
    }
    static half2 scale(Row row, uint column) {
        const uint4 header = *(device const uint4*)(row.data + column / 256 * 144);
        const uint group = column % 256 / 32;
        const uint2 scales = (scales_and_minima(header, group / 2) >> (8 * (group & 1))) & 0xffu;
        const half2 d = as_type<half2>(header.x);
        const float scale = float(d.x) * float(scales.x), minimum = float(d.y) * float(scales.y);
        // The rest belongs to the scale as it was rounded.
        const half rounded = half(scale);
        return half2(rounded, half(-16.0f * float(rounded) - minimum));
    }
};
struct SourceQ4_0 {
    static Row row(Matrix matrix, uint index, uint columns) { return FormatQ4_0::row(matrix, index, columns); }
    static uint quant(Row row, uint column) {
        return (row.data[column / 32 * 18 + 2 + column % 16] >> (column % 32 / 16 * 4)) & 15;
    }
    static half2 scale(Row row, uint column) {
        const half d = half_at(row.data + column / 32 * 18);
        return half2(d, half(-24.0f * float(d)));
    }
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
    static half2 scale(Row row, uint column) {
        device const uchar* block = row.data + column / 256 * 210;
        return half2(half(float(half_at(block + 208)) * float(((device const char*)block)[192 + column % 256 / 16])), 0.0h);
    }
};
struct SourceQ8_0 {
    static Row row(Matrix matrix, uint index, uint columns) { return FormatQ8_0::row(matrix, index, columns); }
    static uint quant(Row row, uint column) { return row.data[column / 32 * 34 + 2 + column % 32] ^ 0x80u; }
    static half2 scale(Row row, uint column) { return half2(half_at(row.data + column / 32 * 34), 0.0h); }
};
template <typename Format>
struct SourcePlain {
    static Row row(Matrix matrix, uint index, uint columns) { return Format::row(matrix, index, columns); }
    static uint quant(Row row, uint column) { return as_type<ushort>(half(Format::element(row, column))); }
    static half2 scale(Row row, uint column) { return half2(1.0h, 0.0h); }
};

// The column of element e of a[j] of multiplication m, of lane 4 g + t.
inline uint packed_column(uint t, uint m, uint j, uint e) { return 32 * (m / 2) + 8 * t + 4 * (m % 2) + 2 * (j / 2) + e; }

template <typename Source>
inline void pack_nibbles(thread const Row (&rows)[2], thread const bool (&there)[2], uint column, device uchar* record, uint lane) {
    device uint* words = (device uint*)record;
    const uint t = lane % 4;
    for (uint m = 0; m < 4; m++) {
        uint word = 0;
        for (uint k = 0; k < 8; k++) {   // a[0], a[2], a[1], a[3]; then their second elements
            const uint j = k % 4 / 2 + k % 2 * 2, which = j & 1;
            const uint n = there[which] ? Source::quant(rows[which], column + packed_column(t, m, j, k / 4)) : 0;
            word |= n << (4 * k);
        }
        words[4 * lane + m] = word;
    }
    if (t == 0) {
        device half2* scales = (device half2*)(record + 512) + lane;   // 4 g
        for (uint i = 0; i < 4; i++) scales[i] = there[i / 2] ? Source::scale(rows[i / 2], column + 32 * (i % 2)) : half2(0.0h);
    }
}
template <typename Source>
inline void pack_six_bits(thread const Row (&rows)[2], thread const bool (&there)[2], uint column, device uchar* record, uint lane) {
    device uint* words = (device uint*)record;
    const uint t = lane % 4;
    for (uint pair = 0; pair < 2; pair++) {
        uint top = 0;
        for (uint half_pair = 0; half_pair < 2; half_pair++) {
            const uint m = 2 * pair + half_pair;
            uint word = 0;
            for (uint k = 0; k < 8; k++) {
                const uint j = k % 4 / 2 + k % 2 * 2, which = j & 1;
                const uint n = there[which] ? Source::quant(rows[which], column + packed_column(t, m, j, k / 4)) : 32;
                word |= (n & 15) << (4 * k);
                top |= (n >> 4) << (8 * half_pair + 2 * (k % 4) + 16 * (k / 4));
            }
            words[4 * lane + m] = word;
        }
        words[128 + 2 * lane + pair] = top;
    }
    if (t % 2 == 0) {
        device half* scales = (device half*)(record + 768) + (t / 2 * 8 + lane / 4) * 4;
        for (uint i = 0; i < 4; i++) {
            scales[i] = there[i / 2] ? Source::scale(rows[i / 2], column + 32 * (i % 2) + t / 2 * 16).x : 0.0h;
        }
    }
}
template <typename Source>
inline void pack_bytes(thread const Row (&rows)[2], thread const bool (&there)[2], uint column, device uchar* record, uint lane) {
    device uint* words = (device uint*)record;
    const uint t = lane % 4;
    for (uint m = 0; m < 4; m++) {
        for (uint pair = 0; pair < 2; pair++) {
            uint word = 0;
            for (uint k = 0; k < 4; k++) {   // a[0], a[1]; then their second elements
                const uint which = k % 2;
                const uint n = there[which] ? Source::quant(rows[which], column + packed_column(t, m, 2 * pair, k / 2)) : 128;
                word |= n << (8 * k);
            }
            words[m / 2 * 128 + 4 * lane + m % 2 * 2 + pair] = word;
        }
    }
    if (t == 0) {
        device half* scales = (device half*)(record + 1024) + lane;   // 4 g
        for (uint i = 0; i < 4; i++) scales[i] = there[i / 2] ? Source::scale(rows[i / 2], column + 32 * (i % 2)).x : 0.0h;
    }
}
template <typename Source>
inline void pack_halves(thread const Row (&rows)[2], thread const bool (&there)[2], uint column, device uchar* record, uint lane) {
    device uint* words = (device uint*)record;
    for (uint m = 0; m < 4; m++) {
        for (uint j = 0; j < 4; j++) {
            const uint which = j & 1, at = column + packed_column(lane % 4, m, j, 0);
            const uint word = there[which] ? Source::quant(rows[which], at) | Source::quant(rows[which], at + 1) << 16 : 0;
            words[128 * m + 4 * lane + j] = word;
        }
    }
}

#define PACK(entry, name, Source, pack_lane, Packing)                                                                   \
    [[host_name(entry)]] kernel void name(                                                                              \
        device const uchar* data     [[buffer(0)]],   /* see common/format.h */                                         \
        device uchar* out            [[buffer(1)]],   /* [⌈rows / 16⌉][columns / 64] records */                         \
        constant PackArguments& args [[buffer(2)]],                                                                     \
        uint2 group [[threadgroup_position_in_grid]],                                                                   \
        uint lane   [[thread_index_in_simdgroup]])                                                                      \
    {                                                                                                                   \
        const Matrix matrix = { data, data, data };                                                                     \
        const uint first = group.y * 16 + lane / 4;                                                                     \
        const bool there[2] = { first < args.rows, first + 8 < args.rows };                                             \
        const Row rows[2] = { Source::row(matrix, min(first, args.rows - 1), args.columns),                             \
                              Source::row(matrix, min(first + 8, args.rows - 1), args.columns) };                       \
        device uchar* record = out + (ulong(group.y) * (args.columns / 64) + group.x) * Packing::BYTES;                 \
        pack_lane<Source>(rows, there, group.x * 64, record, lane);                                                     \
    }
PACK("pack_q4_k", pack_q4_k, SourceQ4_K, pack_nibbles, PackedNibbles)
PACK("pack_q4_0", pack_q4_0, SourceQ4_0, pack_nibbles, PackedNibbles)
PACK("pack_q6_k", pack_q6_k, SourceQ6_K, pack_six_bits, PackedSixBits)
PACK("pack_q8_0", pack_q8_0, SourceQ8_0, pack_bytes, PackedBytes)
PACK("pack_f16", pack_f16, SourcePlain<FormatF16>, pack_halves, PackedHalves)
PACK("pack_bf16", pack_bf16, SourcePlain<FormatBF16>, pack_halves, PackedHalves)

template <typename Packing>
kernel void unpack_half(
    device const uchar* matrix   [[buffer(0)]],   // [⌈rows / 16⌉][columns / 64] records
    device half* out             [[buffer(1)]],   // [rows, columns]
    constant PackArguments& args [[buffer(2)]],
    uint2 group [[threadgroup_position_in_grid]],
    uint lane   [[thread_index_in_simdgroup]])
{
    const uint first = group.y * 16 + lane / 4;
    const typename Packing::Raw raw = Packing::fetch(matrix + (ulong(group.y) * (args.columns / 64) + group.x) * Packing::BYTES, lane);
    for (uint s = 0; s < 2; s++) {
        half2 a[2][4];
        Packing::unpack(raw, 2 * s, a[0]);
        Packing::unpack(raw, 2 * s + 1, a[1]);
        for (uint which = 0; which < 2; which++) {
            if (first + 8 * which < args.rows) {
                device half* to = out + ulong(first + 8 * which) * args.columns + group.x * 64 + 32 * s + lane % 4 * 8;
                *(device uint4*)to = uint4(as_type<uint>(a[0][which]), as_type<uint>(a[0][2 + which]),
                                           as_type<uint>(a[1][which]), as_type<uint>(a[1][2 + which]));
            }
        }
    }
}
template [[host_name("unpack_nibbles")]] kernel decltype(unpack_half<PackedNibbles>) unpack_half<PackedNibbles>;
template [[host_name("unpack_six_bits")]] kernel decltype(unpack_half<PackedSixBits>) unpack_half<PackedSixBits>;
template [[host_name("unpack_bytes")]] kernel decltype(unpack_half<PackedBytes>) unpack_half<PackedBytes>;
template [[host_name("unpack_halves")]] kernel decltype(unpack_half<PackedHalves>) unpack_half<PackedHalves>;
