// Random numbers that depend on a seed and an index only: ChaCha with 12 rounds (Bernstein 2008).
//
// The key is the seed (64 bits, the rest zero), the block counter the index of the draw, the nonce zero; a draw is the
// block's first two words. The same as wootz_engine's sampler, so a request draws the same on every device.
#pragma once

inline uint rotated(uint value, uint bits) { return (value << bits) | (value >> (32 - bits)); }

inline void quarter_round(thread uint* s, uint a, uint b, uint c, uint d) {
    s[a] += s[b]; s[d] = rotated(s[d] ^ s[a], 16);
    s[c] += s[d]; s[b] = rotated(s[b] ^ s[c], 12);
    s[a] += s[b]; s[d] = rotated(s[d] ^ s[a], 8);
    s[c] += s[d]; s[b] = rotated(s[b] ^ s[c], 7);
}

// A uniform number in [0, 1), times 2^64: 53 random bits above eleven zeros, as an f64 holds them.
inline ulong uniform_draw(uint2 seed, uint2 index) {
    uint start[16] = {0x61707865u, 0x3320646eu, 0x79622d32u, 0x6b206574u, seed.x, seed.y, 0, 0,
                      0, 0, 0, 0, index.x, index.y, 0, 0};
    uint s[16];
    for (uint i = 0; i < 16; i++) s[i] = start[i];
    for (uint round = 0; round < 6; round++) {
        quarter_round(s, 0, 4, 8, 12);
        quarter_round(s, 1, 5, 9, 13);
        quarter_round(s, 2, 6, 10, 14);
        quarter_round(s, 3, 7, 11, 15);
        quarter_round(s, 0, 5, 10, 15);
        quarter_round(s, 1, 6, 11, 12);
        quarter_round(s, 2, 7, 8, 13);
        quarter_round(s, 3, 4, 9, 14);
    }
    const ulong word = ulong(s[0] + start[0]) | (ulong(s[1] + start[1]) << 32);
    return word & ~0x7fful;
}

// The upper 64 bits of a product of 64-bit integers, and in `low` the lower.
inline ulong wide_product(ulong a, ulong b, thread ulong& low) {
    const ulong a0 = a & 0xffffffffu, a1 = a >> 32, b0 = b & 0xffffffffu, b1 = b >> 32;
    const ulong low_product = a0 * b0;
    const ulong first = a1 * b0 + (low_product >> 32);
    const ulong second = a0 * b1 + (first & 0xffffffffu);
    low = (second << 32) | (low_product & 0xffffffffu);
    return a1 * b1 + (first >> 32) + (second >> 32);
}
