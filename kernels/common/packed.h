// Matrices packed for a matrix unit that multiplies 16x16 with 16x8, as NVIDIA's does: the numbers of Q4_K, Q4_0, Q4_1,
// Q5_K, Q5_0, Q5_1, Q6_K, Q8_0, F16 and BF16 in another order, made once when a model is loaded (pack.metal).
//
// A *record* is 16 outputs times 64 columns. Records of 16 outputs follow each other by columns, so that whoever walks the
// columns reads memory in order; there is an even number of them: if it were odd, one of zeros lies before the last. All bits of
// a record that one lane wants lie side by side, beside those of the next lane. There are 128 columns or more.
//
//   lane l = 4 g + t has outputs g and g + 8, and of each 32 columns (a group) 8 t .. 8 t + 8. A multiplication of depth 16,
//   number m of a record, takes columns 8 t + 4 h .. 8 t + 4 h + 4 of group s, where m = 2 s + h:
//
//   a[0] = output g:     columns 0, 1    a[2] = output g:     columns 2, 3      (half2 each)
//   a[1] = output g + 8: columns 0, 1    a[3] = output g + 8: columns 2, 3
//
// A packing is a struct with
//
//   BYTES    of a record, a multiple of 16         Raw    what a lane loads of it
//   AS_LOADED  1 where unpacking changes nothing, else 0
//   fetch(record, lane, raw, wanted)   loads what is wanted    unpack(raw, m, a)
//
// and what it unpacks to are f16 weights.
#pragma once
#include "common/matrix_unit.h"
#include "common/unpack.h"

constant constexpr uint PACKED_OUTPUTS = 16;      // of a record
constant constexpr uint PACKED_COLUMNS = 64;      // of a record

// Records of 16 outputs.
inline uint packed_records(uint columns) { return (columns + 2 * PACKED_COLUMNS - 1) / (2 * PACKED_COLUMNS) * 2; }
// Where that lies which has columns 64 · record .. of so many.
inline uint packed_place(uint record, uint columns) {
    const uint records = columns / PACKED_COLUMNS;
    return record + (records % 2 == 1 && record == records - 1 ? 1 : 0);
}

// n · scale - minimum, n < 16. An f16 whose bits are 0x4c00 | n << 6 is 16 + n for n < 16: a nibble becomes a weight with one
// and-or and one fma(16 + n, scale, rest), rest = -16 · scale - minimum. That is rounded to f16, at most 2⁻⁷ of a step: about
// what rounding the weight costs.
//
//   512 bytes   words[m] of lane l: the nibbles of a[j] at bits 4 j and 16 + 4 j, in the order a[0], a[2], a[1], a[3]; then
//               turned left by 6, so that those of a[0] lie where they are needed and the others are one turn away
//   128 bytes   scale and rest, f16, of [g][g, g + 8][s]
struct PackedNibbles {
    enum : uint { BYTES = 640, AS_LOADED = 0 };
    struct Raw { uint4 words; uint4 scales; };
    static void fetch(device const uchar* record, uint lane, thread Raw& raw, bool wanted) {
        device const uint4* from = (device const uint4*)record;
        load_if(wanted, from + lane, raw.words);
        load_if(wanted, from + 32 + lane / 4, raw.scales);
    }
    static void unpack(Raw raw, uint m, thread half2 (&a)[4]) {
        const uint word = raw.words[m];
        const half2 upper = as_type<half2>(raw.scales[m / 2]), lower = as_type<half2>(raw.scales[2 + m / 2]);
        a[0] = fma(nibbles_16(word), first_twice(upper), second_twice(upper));
        a[2] = fma(nibbles_16(word >> 4), first_twice(upper), second_twice(upper));
        a[1] = fma(nibbles_16(rotate(word, 24u)), first_twice(lower), second_twice(lower));
        a[3] = fma(nibbles_16(rotate(word, 20u)), first_twice(lower), second_twice(lower));
    }
    static half2 nibbles_16(uint word) { return as_type<half2>(and_or(word, 0x03c003c0u, 0x4c004c00u)); }
};

// n · scale - minimum, n < 32. An f16 whose bits are 0x5000 | n << 5 is 32 + n for n < 32, so that a weight is
// fma(32 + n, scale, rest) with rest = -32 · scale - minimum. That is rounded to f16, at most 2⁻⁵ of a step.
//
//   512 bytes   low nibbles, as words of PackedNibbles that are not turned
//   128 bytes   the top bit, a word of lane l: of a[j] of multiplication m at bits 4 m + j and 16 + that, in the same order
//   128 bytes   scale and rest, as of PackedNibbles
struct PackedFiveBits {
    enum : uint { BYTES = 768, AS_LOADED = 0 };
    struct Raw { uint4 words; uint4 scales; uint top; };
    static void fetch(device const uchar* record, uint lane, thread Raw& raw, bool wanted) {
        device const uint4* from = (device const uint4*)record;
        load_if(wanted, from + lane, raw.words);
        load_if(wanted, from + 40 + lane / 4, raw.scales);
        load_if(wanted, (device const uint*)(record + 512) + lane, raw.top);
    }
    static void unpack(Raw raw, uint m, thread half2 (&a)[4]) {
        const uint word = raw.words[m];
        const half2 upper = as_type<half2>(raw.scales[m / 2]), lower = as_type<half2>(raw.scales[2 + m / 2]);
        a[0] = fma(five_bits_32(word << 5, raw.top, 4 * m), first_twice(upper), second_twice(upper));
        a[2] = fma(five_bits_32(word << 1, raw.top, 4 * m + 1), first_twice(upper), second_twice(upper));
        a[1] = fma(five_bits_32(word >> 3, raw.top, 4 * m + 2), first_twice(lower), second_twice(lower));
        a[3] = fma(five_bits_32(word >> 7, raw.top, 4 * m + 3), first_twice(lower), second_twice(lower));
    }
    // The nibbles are at bits 5 and 21, and the top bits at `place` and 16 + `place`, which is known when this is compiled.
    static half2 five_bits_32(uint low, uint top, uint place) {
        const uint moved = place <= 9 ? top << (9 - place) : top >> (place - 9);
        return as_type<half2>(and_or(moved, 0x02000200u, and_or(low, 0x01e001e0u, 0x50005000u)));
    }
};

// (n - 32) · scale, n < 64. An f16 whose bits are 0x5400 | n << 4 is 64 + n for n < 64, so that a weight is
// fma(64 + n, scale, -96 · scale). A scale has two bits less than f16 could give it, so that 96 times it is exact: a weight is
// then (n - 32) · scale, rounded once. What is rounded of a scale is 2⁻⁹ of it at most, which changes a sum by less than a tenth
// of what six bits do. Scales reach to 682, where 96 times one is all that f16 holds.
//
//   512 bytes   low nibbles, as words of PackedNibbles that are not turned
//   256 bytes   the top two bits, words[m / 2] of lane l: of a[j] at bits 8 (m % 2) + 2 j and 16 + that, in the same order
//   128 bytes   scales, f16, of [t / 2][g][g, g + 8][s]: there is one for each 16 columns
struct PackedSixBits {
    enum : uint { BYTES = 896, AS_LOADED = 0 };
    struct Raw { uint4 words; uint2 top; uint2 scales; };
    static void fetch(device const uchar* record, uint lane, thread Raw& raw, bool wanted) {
        const uint half_group = lane % 4 / 2;
        load_if(wanted, (device const uint4*)record + lane, raw.words);
        load_if(wanted, (device const uint2*)(record + 512) + lane, raw.top);
        load_if(wanted, (device const uint2*)(record + 768) + half_group * 8 + lane / 4, raw.scales);
    }
    static void unpack(Raw raw, uint m, thread half2 (&a)[4]) {
        const uint word = raw.words[m], top = raw.top[m / 2], lowest = m % 2 * 8;
        const half2 upper = m < 2 ? first_twice(as_type<half2>(raw.scales.x)) : second_twice(as_type<half2>(raw.scales.x));
        const half2 lower = m < 2 ? first_twice(as_type<half2>(raw.scales.y)) : second_twice(as_type<half2>(raw.scales.y));
        const half2 upper_rest = product(upper, half2(-96.0h)), lower_rest = product(lower, half2(-96.0h));
        a[0] = fma(six_bits_64(word << 4, top, lowest), upper, upper_rest);
        a[2] = fma(six_bits_64(word, top, lowest + 2), upper, upper_rest);
        a[1] = fma(six_bits_64(word >> 4, top, lowest + 4), lower, lower_rest);
        a[3] = fma(six_bits_64(word >> 8, top, lowest + 6), lower, lower_rest);
    }
    // The nibbles are at bits 4 and 20, and the top bits at `place` and 16 + `place`, which is known when this is compiled.
    static half2 six_bits_64(uint low, uint top, uint place) {
        const uint moved = place <= 8 ? top << (8 - place) : top >> (place - 8);
        return as_type<half2>(and_or(moved, 0x03000300u, and_or(low, 0x00f000f0u, 0x54005400u)));
    }
};

// (n - 128) · scale, n < 256.
//
//   1024 bytes  n: words [m / 2][lane][m % 2][a[0] and a[1], a[2] and a[3]]: a[0] in bytes 0 and 2, a[1] in 1 and 3
//   64 bytes    scales, f16, of [g][g, g + 8][s]
struct PackedBytes {
    enum : uint { BYTES = 1088, AS_LOADED = 0 };
    struct Raw { uint4 words[2]; uint2 scales; };
    static void fetch(device const uchar* record, uint lane, thread Raw& raw, bool wanted) {
        device const uint4* from = (device const uint4*)record;
        for (uint i = 0; i < 2; i++) load_if(wanted, from + 32 * i + lane, raw.words[i]);
        load_if(wanted, (device const uint2*)(record + 1024) + lane / 4, raw.scales);
    }
    static void unpack(Raw raw, uint m, thread half2 (&a)[4]) {
        const uint4 words = raw.words[m / 2];
        bytes_to_pairs(words[m % 2 * 2], 128.0h, a[0], a[1]);
        bytes_to_pairs(words[m % 2 * 2 + 1], 128.0h, a[2], a[3]);
        const half2 upper = m < 2 ? first_twice(as_type<half2>(raw.scales.x)) : second_twice(as_type<half2>(raw.scales.x));
        const half2 lower = m < 2 ? first_twice(as_type<half2>(raw.scales.y)) : second_twice(as_type<half2>(raw.scales.y));
        a[0] = product(a[0], upper);
        a[2] = product(a[2], upper);
        a[1] = product(a[1], lower);
        a[3] = product(a[3], lower);
    }
};

// f16 as it is.
//
//   2048 bytes  [m][lane][a[0], a[1], a[2], a[3]]
struct PackedHalves {
    enum : uint { BYTES = 2048, AS_LOADED = 1 };
    struct Raw { uint4 words[4]; };
    static void fetch(device const uchar* record, uint lane, thread Raw& raw, bool wanted) {
        device const uint4* from = (device const uint4*)record;
        for (uint i = 0; i < 4; i++) load_if(wanted, from + 32 * i + lane, raw.words[i]);
    }
    static void unpack(Raw raw, uint m, thread half2 (&a)[4]) {
        for (uint j = 0; j < 4; j++) a[j] = as_type<half2>(raw.words[m][j]);
    }
};
