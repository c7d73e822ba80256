// Matrices of the usual formats to packed ones (common/packed.h), once when a model is loaded; and packed ones to rows of f16
// for the device's own library.
//
// Grid of both: x over records of 16 outputs (of pack_* with one of zeros), y over groups of 16 outputs; a simdgroup a
// threadgroup makes or reads a record.
// Rows beyond the matrix, and records that are not of it, are packed as zeros: n that stand for 0, or scales of 0.
//
// common/pack_source.h has the formats. Numbers are those of the format: nothing is rounded, to f16, but products of two scales
// (Q4_K, Q5_K, Q6_K; the last to two bits less), the rests of nibbles and five bits, and bf16 below 2⁻¹⁴.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/pack_source.h"
#include "common/packed.h"

// The column of element e of a[j] of multiplication m, of lane 4 g + t.
inline uint packed_column(uint t, uint m, uint j, uint e) { return 32 * (m / 2) + 8 * t + 4 * (m % 2) + 2 * (j / 2) + e; }

// A group's scale, and what stands for n = -16 or -32, where numbers begin that kernels make of bits. The latter belongs to the
// scale as it was rounded.
template <typename Source>
inline half2 scale_and_rest(Row row, uint column, float begin) {
    const float2 scale = Source::scale(row, column);
    const half rounded = half(scale.x);
    return half2(rounded, half(scale.y - begin * float(rounded)));
}

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
        words[4 * lane + m] = rotate(word, 6u);
    }
    if (t == 0) {
        device half2* scales = (device half2*)(record + 512) + lane;   // 4 g
        for (uint i = 0; i < 4; i++) {
            scales[i] = there[i / 2] ? scale_and_rest<Source>(rows[i / 2], column + 32 * (i % 2), 16.0f) : half2(0.0h);
        }
    }
}
template <typename Source>
inline void pack_five_bits(thread const Row (&rows)[2], thread const bool (&there)[2], uint column, device uchar* record, uint lane) {
    device uint* words = (device uint*)record;
    const uint t = lane % 4;
    uint top = 0;
    for (uint m = 0; m < 4; m++) {
        uint word = 0;
        for (uint k = 0; k < 8; k++) {
            const uint j = k % 4 / 2 + k % 2 * 2, which = j & 1;
            const uint n = there[which] ? Source::quant(rows[which], column + packed_column(t, m, j, k / 4)) : 0;
            word |= (n & 15) << (4 * k);
            top |= (n >> 4) << (4 * m + k % 4 + 16 * (k / 4));
        }
        words[4 * lane + m] = word;
    }
    words[128 + lane] = top;
    if (t == 0) {
        device half2* scales = (device half2*)(record + 640) + lane;   // 4 g
        for (uint i = 0; i < 4; i++) {
            scales[i] = there[i / 2] ? scale_and_rest<Source>(rows[i / 2], column + 32 * (i % 2), 32.0f) : half2(0.0h);
        }
    }
}
// The nearest f16 whose last two bits are 0; between two, the one whose bit before those is 0 too. What is greater than all of
// them becomes the greatest.
inline half without_last_bits(half value) {
    const uint bits = as_type<ushort>(value), magnitude = bits & 0x7fffu;
    if (magnitude >= 0x7c00u) return value;   // infinite or no number
    return as_type<half>(ushort((bits & 0x8000u) | min((magnitude + 1u + (magnitude >> 2 & 1u)) & 0x7ffcu, 0x7bfcu)));
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
            const uint group = column + 32 * (i % 2) + t / 2 * 16;
            scales[i] = there[i / 2] ? without_last_bits(half(Source::scale(rows[i / 2], group).x)) : 0.0h;
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
        for (uint i = 0; i < 4; i++) scales[i] = there[i / 2] ? half(Source::scale(rows[i / 2], column + 32 * (i % 2)).x) : 0.0h;
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
        device uchar* out            [[buffer(1)]],   /* [⌈rows / 16⌉][records] */                                      \
        constant PackArguments& args [[buffer(2)]],                                                                     \
        uint2 group [[threadgroup_position_in_grid]],                                                                   \
        uint lane   [[thread_index_in_simdgroup]])                                                                      \
    {                                                                                                                   \
        const Matrix matrix = { data, data, data };                                                                     \
        const uint first = group.y * 16 + lane / 4;                                                                     \
        const uint record = min(group.x, args.columns / 64 - 1);                                                        \
        const bool real = packed_place(record, args.columns) == group.x;                                                \
        const bool there[2] = { real && first < args.rows, real && first + 8 < args.rows };                             \
        const Row rows[2] = { Source::row(matrix, min(first, args.rows - 1), args.columns),                             \
                              Source::row(matrix, min(first + 8, args.rows - 1), args.columns) };                       \
        device uchar* to = out + (ulong(group.y) * packed_records(args.columns) + group.x) * Packing::BYTES;            \
        pack_lane<Source>(rows, there, record * 64, to, lane);                                                          \
    }
PACK("pack_q4_k", pack_q4_k, SourceQ4_K, pack_nibbles, PackedNibbles)
PACK("pack_q4_0", pack_q4_0, SourceQ4_0, pack_nibbles, PackedNibbles)
PACK("pack_q4_1", pack_q4_1, SourceQ4_1, pack_nibbles, PackedNibbles)
PACK("pack_q5_k", pack_q5_k, SourceQ5_K, pack_five_bits, PackedFiveBits)
PACK("pack_q5_0", pack_q5_0, SourceQ5_0, pack_five_bits, PackedFiveBits)
PACK("pack_q5_1", pack_q5_1, SourceQ5_1, pack_five_bits, PackedFiveBits)
PACK("pack_q6_k", pack_q6_k, SourceQ6_K, pack_six_bits, PackedSixBits)
PACK("pack_q8_0", pack_q8_0, SourceQ8_0, pack_bytes, PackedBytes)
PACK("pack_f16", pack_f16, SourcePlain<FormatF16>, pack_halves, PackedHalves)
PACK("pack_bf16", pack_bf16, SourcePlain<FormatBF16>, pack_halves, PackedHalves)

template <typename Packing>
kernel void unpack_half(
    device const uchar* matrix   [[buffer(0)]],   // [⌈rows / 16⌉][records]
    device half* out             [[buffer(1)]],   // [rows, columns]
    constant PackArguments& args [[buffer(2)]],
    uint2 group [[threadgroup_position_in_grid]],
    uint lane   [[thread_index_in_simdgroup]])
{
    const uint first = group.y * 16 + lane / 4;
    typename Packing::Raw raw;
    Packing::fetch(matrix + (ulong(group.y) * packed_records(args.columns) + packed_place(group.x, args.columns)) * Packing::BYTES,
                   lane, raw, true);
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
template [[host_name("unpack_five_bits")]] kernel decltype(unpack_half<PackedFiveBits>) unpack_half<PackedFiveBits>;
template [[host_name("unpack_six_bits")]] kernel decltype(unpack_half<PackedSixBits>) unpack_half<PackedSixBits>;
template [[host_name("unpack_bytes")]] kernel decltype(unpack_half<PackedBytes>) unpack_half<PackedBytes>;
template [[host_name("unpack_halves")]] kernel decltype(unpack_half<PackedHalves>) unpack_half<PackedHalves>;
