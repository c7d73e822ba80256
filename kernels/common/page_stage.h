// Pages in threadgroup memory, as a matrix unit reads its right factors from there: two pages of a kv head at a time, a
// stage, in pieces of 16 bytes.
//
// The unit's loads take blocks of 8x8 numbers, each row of a block a piece, and hand them out transposed: what lies one below
// another becomes what a lane holds as neighbours. Both products want that, since K lies [dim][token] and is multiplied along
// dims, V [token][dim] and along tokens. Eight pieces come at once if they lie in different places of 128 bytes:
//
//   K   a page's dim has two pieces, tokens 0-7 and 8-15. All of the lower ones come first, and then the upper ones, of which
//       four neighbours have changed places with the next four: so that threads which store both pieces of neighbouring dims
//       store them to different places too.
//         0 1 2 3 4 5 6 7 | 8 9 … | 4 5 6 7 0 1 2 3 | 12 13 …
//   V   a token has D / 8 pieces and one of padding, which makes an odd number: eight tokens begin in eight places.
#pragma once
#include "common/attention.h"
#include "common/matrix_unit.h"

constant constexpr ushort STAGE_THREADS = 256;
constant constexpr uint STAGE_PAGES = 2, STAGE_TOKENS = STAGE_PAGES * PAGE_TOKENS;

// Numbers of pieces.
template <ushort D>
struct StagePlaces {
    enum : uint {
        PAGE = 4 * D,                          // of a page as it lies in memory: K, then V
        KEYS = 2 * D,                          // of its keys
        TOKEN = D / 8,                         // of a token's values
        VALUES = STAGE_PAGES * KEYS,           // where values begin in a stage
        ALL = VALUES + STAGE_TOKENS * (TOKEN + 1),
        SHARE = (STAGE_PAGES * PAGE + STAGE_THREADS - 1) / STAGE_THREADS,
    };

    // Of dims that follow one another by multiples of 16, the same numbers apart.
    static uint key(uint page, uint upper, uint dim) { return page * KEYS + upper * D + (dim ^ 4 * upper); }
    static uint value(uint token, uint eight) { return VALUES + token * (TOKEN + 1) + eight; }
};

// The pages that a threadgroup goes through, by stages that begin at multiples of 32 tokens whatever it looks at.
struct StagedContext {
    device const half* layer;    // from the kv head's first cell
    device const uint* numbers;
    uint page_stride;
    Partition looked_at;         // of all rows together; begins at token 0

    uint first_stage() const { return looked_at.first / STAGE_TOKENS; }
    uint last_stage() const { return looked_at.position / STAGE_TOKENS; }
    // The number of a stage's page. In place of one that nobody looks at, the nearest that somebody does: its tokens are masked.
    uint number(uint stage, uint i) const {
        return numbers[clamp(stage * STAGE_PAGES + i, looked_at.first / PAGE_TOKENS, looked_at.position / PAGE_TOKENS)];
    }
    device const uint4* page(uint number) const { return (device const uint4*)(layer + ulong(number) * page_stride); }
};

// What a thread brings of a stage, while it is under way, and the page numbers of the stage after it: a page can be asked for
// when its number is there.
template <ushort D>
struct StageShare {
    typedef StagePlaces<D> Places;
    uint4 held[Places::SHARE];
    uint numbers[STAGE_PAGES];

    static bool has(uint piece) { return STAGE_PAGES * Places::PAGE % STAGE_THREADS == 0 || piece < STAGE_PAGES * Places::PAGE; }
    // (What remains of a thread's number is below STAGE_THREADS for the compiler too, to which most of this is then constant.)
    static uint piece(uint i, ushort thread_id) { return i * STAGE_THREADS + thread_id % STAGE_THREADS; }

    // To be called for one stage after another, from that on which `number_pages` was called for.
    void fetch(StagedContext context, uint stage, ushort thread_id) thread {
        device const uint4* pages[STAGE_PAGES];
        for (uint i = 0; i < STAGE_PAGES; i++) pages[i] = context.page(numbers[i]);
        for (uint i = 0; i < Places::SHARE; i++) {
            const uint at = piece(i, thread_id);
            device const uint4* page = at < Places::PAGE ? pages[0] : pages[1];
            if (has(at)) held[i] = page[at % Places::PAGE];
        }
        number_pages(context, stage + 1);
    }
    void number_pages(StagedContext context, uint stage) thread {
        for (uint i = 0; i < STAGE_PAGES; i++) numbers[i] = context.number(stage, i);
    }
    // A value that nobody looks at becomes 0: its power is 0 too, and it has to be a number.
    void store(threadgroup uint4* place, StagedContext context, uint stage, ushort thread_id) const thread {
        for (uint i = 0; i < Places::SHARE; i++) {
            const uint in_stage = piece(i, thread_id);
            if (!has(in_stage)) continue;
            const uint page = in_stage / Places::PAGE, at = in_stage % Places::PAGE;
            if (at < Places::KEYS) {
                place[Places::key(page, at % 2, at / 2)] = held[i];
            } else {
                const uint of_values = at - Places::KEYS, token = page * PAGE_TOKENS + of_values / Places::TOKEN;
                uint4 value = uint4(0);
                if (context.looked_at.looks_at(stage * STAGE_TOKENS + token)) value = held[i];
                place[Places::value(token, of_values % Places::TOKEN)] = value;
            }
        }
    }
};

// Right factors for 16 dims of a page's keys, from a multiple of 16 on: .xy of tokens 0-7, .zw of tokens 8-15.
template <ushort D>
inline uint4 staged_keys(threadgroup const uint4* stage, uint page, uint first_dim, ushort lane) {
    return load_blocks_transposed((threadgroup const half*)(stage + StagePlaces<D>::key(page, lane / 16, lane % 16) + first_dim));
}

// Right factors for a page's tokens of its values: .xy of eight dims from 8 · eight on, .zw of the next.
template <ushort D>
inline uint4 staged_values(threadgroup const uint4* stage, uint page, uint eight, ushort lane) {
    const uint token = page * PAGE_TOKENS + lane % 16;
    return load_blocks_transposed((threadgroup const half*)(stage + StagePlaces<D>::value(token, eight + lane / 16)));
}
