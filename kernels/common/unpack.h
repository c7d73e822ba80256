// Small integers out of packed words, without conversions.
//
// An f16 whose bits are 0x6400 | n is 1024 + n for n < 1024. So two integers at bits 0 and 16 of a word become two
// halves with one `and` and one `or`, and taking 1024 away is exact. Shifts and integer-to-float conversions run at a
// quarter of the rate of everything else on Apple GPUs; this has one shift for four elements and no conversion.
#pragma once

// The word at an address that is a multiple of 2.
inline uint word_at(device const uchar* bytes) {
    return as_type<uint>(ushort2(*(device const packed_ushort2*)bytes));
}

// The four words at an address that is a multiple of 2.
inline uint4 words_at(device const uchar* bytes) {
    const ushort4 low = ushort4(*(device const packed_ushort4*)bytes);
    const ushort4 high = ushort4(*(device const packed_ushort4*)(bytes + 8));
    return uint4(as_type<uint2>(low), as_type<uint2>(high));
}

// Four of the eight bytes of two words: a number in four bits for each, the lowest first; those of `high` begin at 4.
inline uint permute_bytes(uint low, uint high, uint selector) {
#ifdef MSL_PTX
    return msl_permute_bytes(low, high, selector);
#else
    uint result = 0;
    for (uint i = 0; i < 4; i++) {
        const uint n = selector >> (4 * i) & 7;
        result |= ((n < 4 ? low : high) >> (8 * (n & 3)) & 0xffu) << (8 * i);
    }
    return result;
#endif
}

inline half half_at(device const uchar* bytes) {
    return *(device const half*)bytes;
}

// to = *from, where that is wanted. Behind a branch, NVIDIA's compiler would wait at its end for everything that was asked for.
#ifdef MSL_PTX
inline void load_if(bool wanted, device const uint* from, thread uint& to) { msl_load_if(wanted, from, to); }
inline void load_if(bool wanted, device const uint2* from, thread uint2& to) {
    uint x = to.x, y = to.y;
    msl_load_if(wanted, from, x, y);
    to = uint2(x, y);
}
inline void load_if(bool wanted, device const uint4* from, thread uint4& to) {
    uint x = to.x, y = to.y, z = to.z, w = to.w;
    msl_load_if(wanted, from, x, y, z, w);
    to = uint4(x, y, z, w);
}
#else
template <typename T> inline void load_if(bool wanted, device const T* from, thread T& to) { if (wanted) to = *from; }
#endif

// (word & mask) | base.
inline uint and_or(uint word, uint mask, uint base) {
#ifdef MSL_PTX
    return msl_and_or(word, mask, base);
#else
    return (word & mask) | base;
#endif
}

// The first of two halves, twice; the second, twice.
inline half2 first_twice(half2 pair) {
#ifdef MSL_PTX
    return as_type<half2>(msl_low_twice(as_type<uint>(pair)));
#else
    return half2(pair.x);
#endif
}
inline half2 second_twice(half2 pair) {
#ifdef MSL_PTX
    return as_type<half2>(msl_high_twice(as_type<uint>(pair)));
#else
    return half2(pair.y);
#endif
}

// The two halves 1024 + n for the integers n in the low and the high 16 bits, each below 1024.
inline half2 halves_1024(uint pair) {
    return as_type<half2>(pair | 0x64006400u);
}

inline half2 product(half2 a, half2 b) { return fma(a, b, half2(0.0h)); }

// Those integers, minus `offset`: exact, offset an integer up to 1024.
inline half2 halves(uint pair, half offset) {
    return fma(halves_1024(pair), half2(1.0h), half2(-1024.0h - offset));
}

// The four bytes of a word, minus `offset`.
inline half4 bytes_to_half(uint word, half offset) {
    const half2 even = halves(word & 0x00ff00ffu, offset), odd = halves((word >> 8) & 0x00ff00ffu, offset);
    return half4(even.x, odd.x, even.y, odd.y);
}

// The low nibbles of the four bytes of a word, minus `offset`.
inline half4 low_nibbles(uint word, half offset) {
    const half2 even = halves(word & 0x000f000fu, offset), odd = halves((word >> 8) & 0x000f000fu, offset);
    return half4(even.x, odd.x, even.y, odd.y);
}

// The high nibbles of the four bytes of a word, minus `offset`: 1024 + 16 n, a sixteenth of it less 64. All of it is
// exact, so it does not matter whether the product is rounded.
inline half4 high_nibbles(uint word, half offset) {
    const half2 even = fma(halves_1024(word & 0x00f000f0u), half2(0.0625h), half2(-64.0h - offset));
    const half2 odd = fma(halves_1024((word >> 8) & 0x00f000f0u), half2(0.0625h), half2(-64.0h - offset));
    return half4(even.x, odd.x, even.y, odd.y);
}

// Four bytes as halves, minus `offset`: bytes 0 and 2, and bytes 1 and 3.
inline void bytes_to_pairs(uint word, half offset, thread half2& even, thread half2& odd) {
    const half2 minus = half2(-1024.0h - offset), one = half2(1.0h);
    even = fma(as_type<half2>(permute_bytes(word, 0x64646464u, 0x4240u)), one, minus);
    odd = fma(as_type<half2>(permute_bytes(word, 0x64646464u, 0x4341u)), one, minus);
}
