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

inline half half_at(device const uchar* bytes) {
    return *(device const half*)bytes;
}

// The two halves 1024 + n for the integers n in the low and the high 16 bits, each below 1024.
inline half2 halves_1024(uint pair) {
    return as_type<half2>(pair | 0x64006400u);
}

// The four bytes of a word, minus `offset`: exact, offset an integer up to 1024.
inline half4 bytes_to_half(uint word, half offset) {
    const half2 even = halves_1024(word & 0x00ff00ffu) - half2(1024.0h + offset);
    const half2 odd = halves_1024((word >> 8) & 0x00ff00ffu) - half2(1024.0h + offset);
    return half4(even.x, odd.x, even.y, odd.y);
}

// The low nibbles of the four bytes of a word, minus `offset`.
inline half4 low_nibbles(uint word, half offset) {
    const half2 even = halves_1024(word & 0x000f000fu) - half2(1024.0h + offset);
    const half2 odd = halves_1024((word >> 8) & 0x000f000fu) - half2(1024.0h + offset);
    return half4(even.x, odd.x, even.y, odd.y);
}

// The high nibbles of the four bytes of a word, minus `offset`: 1024 + 16 n, a sixteenth of it less 64. All of it is
// exact, so it does not matter whether the product is rounded.
inline half4 high_nibbles(uint word, half offset) {
    const half2 even = fma(halves_1024(word & 0x00f000f0u), half2(0.0625h), half2(-64.0h - offset));
    const half2 odd = fma(halves_1024((word >> 8) & 0x00f000f0u), half2(0.0625h), half2(-64.0h - offset));
    return half4(even.x, odd.x, even.y, odd.y);
}
