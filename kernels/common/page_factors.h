// Pages of keys and values as left factors of a matrix unit that takes them from registers, as NVIDIA's does, straight from
// memory.
//
// Lane l = 4 g + t holds of a factor elements of row or column g, and pairs of the depth that t says (common/matrix_unit.h).
// The depth of scores is dims, that of sums of values is tokens; and K lies [dim][token], V [token][dim]: what is
// neighbours in memory is never neighbours in depth. So a word, two neighbours, is what two rows of a factor need of one
// step of the depth, and they are called so that a lane may load them in words:
//
//   K   the two are tokens 2 g and 2 g + 1; of a slab of 16 dims a lane loads a word of dims t, t + 4, t + 8, t + 12:
//       32 lanes load 128 bytes, one after another.
//   V   the two are neighbours of the vector of 4 or 2 dims that a lane loads, one pair after another; its tokens are
//       4 t .. 4 t + 4: 8 lanes load 64 bytes of a token, one after another.
//
// Which step of the depth is called the first does not matter, as long as both factors agree.
#pragma once
#include "common/attention.h"
#include "common/matrix_unit.h"

inline half2 low_halves(uint first, uint second) { return half2(as_type<half2>(first).x, as_type<half2>(second).x); }
inline half2 high_halves(uint first, uint second) { return half2(as_type<half2>(first).y, as_type<half2>(second).y); }

// What a lane holds of a page's keys.
template <ushort D>
struct PageKeys {
    uint word[D / 16][4];

    void load(device const half* cell, uint g, uint t) thread {
        device const uint* from = (device const uint*)cell + t * (PAGE_TOKENS / 2) + g;
        for (ushort i = 0; i < D / 16; i++)
            for (ushort j = 0; j < 4; j++) word[i][j] = from[(4 * i + j) * 4 * (PAGE_TOKENS / 2)];
    }
};

// What it holds of its values, and its sums: vectors of WORDS words, D / 16 words of each token in all.
template <ushort D>
struct PageValues {
    enum : uint { WORDS = D % 32 == 0 ? 2 : 1, VECTORS = D / (16 * WORDS) };
    uint word[4][D / 16];

    // The first of the dims of word `i`, the second follows it.
    static uint dim_of(uint i, uint g) { return i / WORDS * 16 * WORDS + g * 2 * WORDS + i % WORDS * 2; }

    // `seen` is the first and the last token of the page that are read, also in place of those outside.
    void load(device const half* values, uint2 seen, uint g, uint t) thread {
        for (ushort j = 0; j < 4; j++) {
            device const half* from = values + clamp(4 * t + j, seen.x, seen.y) * D + g * 2 * WORDS;
            for (ushort i = 0; i < VECTORS; i++) {
                device const half* at = from + i * 16 * WORDS;
                if (WORDS == 2) {
                    const ulong two = *(device const ulong*)at;   // a vector of two would be loaded one by one
                    word[j][2 * i % (D / 16)] = uint(two);
                    word[j][(2 * i + 1) % (D / 16)] = uint(two >> 32);
                } else {
                    word[j][i] = *(device const uint*)at;
                }
            }
        }
    }
};
