// What all attention kernels agree on: pages, partitions of the context, masks, and how a row ends.
#pragma once
#include <metal_stdlib>
using namespace metal;

constant constexpr uint PAGE_TOKENS = 16;

// Tokens that one threadgroup of a split kernel works on. Partitions begin at multiples of it, whatever the batch,
// the grid or the device, so that sums are always taken in the same order.
constant constexpr uint PARTITION_TOKENS = 256;
constant constexpr uint PARTITION_PAGES = PARTITION_TOKENS / PAGE_TOKENS;

// Less than any score: where a maximum begins, and what a masked score counts as in one.
constant constexpr float NO_SCORE = -1e30f;

// The first token that a row at `position` looks at; `window` 0 is all of them.
inline uint first_token(uint position, uint window)
{
    return window == 0 || position < window ? 0 : position + 1 - window;
}

// The first partition that the row looks at, and how many.
inline uint2 row_partitions(uint position, uint window)
{
    const uint first = first_token(position, window) / PARTITION_TOKENS;
    return uint2(first, position / PARTITION_TOKENS - first + 1);
}

// The tokens that a threadgroup looks at: first to position, in pages from `begin` on.
struct Partition {
    uint begin;
    uint first;
    uint position;

    bool looks_at(uint token) const { return token >= first && token <= position; }
    bool has_page(uint page) const
    {
        const uint token = begin + page * PAGE_TOKENS;
        return token <= position && token + PAGE_TOKENS > first;
    }
    // The first and the last token of a page that has some, by their places in it.
    uint2 seen(uint page) const
    {
        const uint token = begin + page * PAGE_TOKENS;
        return uint2(first > token ? first - token : 0, min(position - token, PAGE_TOKENS - 1));
    }
};

// cap · tanh(score / cap); a cap of 0 is none. The precise tanh: the fast one overflows for large arguments.
inline float softcapped(float score, float cap)
{
    return cap > 0.0f ? cap * precise::tanh(score / cap) : score;
}

// e^(score - most): at most 1. An error of the fast exp is relative, about 1e-6 for scores that matter.
inline float power_of(float score, float most)
{
    return fast::exp(score - most);
}

// A result, as f32 or f16. It is an average of values that are f16, so that none is too large for it.
inline void store_result(device float* out, ulong at, bool halves, float result)
{
    if (halves) ((device half*)out)[at] = half(result);
    else out[at] = result;
}

// What a row's sums of `sum` powers over `most` are multiplied with in the end. A sink is a score without a value: it
// takes its share of the weights and adds nothing.
inline float final_factor(float most, float sum, bool has_sink, float sink)
{
    const float all = has_sink ? max(most, sink) : most;
    const float weight = power_of(most, all);
    return weight / (sum * weight + (has_sink ? power_of(sink, all) : 0.0f));
}
