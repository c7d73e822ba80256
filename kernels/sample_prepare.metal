// What comes before sampling and after it: see sample.metal for the whole.
//
//   feed_tokens      tokens[i] = entries[i], or the token that a row of the previous step chose
//   sample_prepare   changed = penalties(logits + bias), where the mask allows; only for rows that change their logits
//
// Penalties look at each token of the history once, with its count:
//
//   logit = (logit > 0 ? logit / repetition : logit · repetition) - (count · frequency + presence)
//
// Thread map: feed_tokens has a thread an entry. sample_prepare has a threadgroup a row, in four stages with a barrier
// after each: copy with the mask, add biases, count the history, penalise. Counting is an atomic addition in a row as
// wide as the vocabulary, where the history's tokens were set to zero; then each entry takes its token's count and leaves
// zero, so exactly one entry of equal ones finds a count, and no order of the threads shows in the result.
//
// Bytes: logits and mask read, changed logits written. Numerics: each logit is changed by one thread, in the
// twin's order of operations; only where the compiler fuses the last multiply and add does it round once less.
// Twin: wootz_gpu::twins::sample::changed.
#include <metal_stdlib>
#include "arguments.h"
using namespace metal;
#include "common/quads.h"
#include "common/shares.h"

// No mask: every token is allowed.
constant constexpr uint NO_MASK = 0xffffffffu;
// Set in an entry that names a row of the previous step.
constant constexpr uint PREVIOUS = 0x80000000u;

inline uint resolved(uint entry, device const uint* previous) {
    return (entry & PREVIOUS) != 0 ? previous[entry & ~PREVIOUS] : entry;
}

kernel void feed_tokens(
    device const uint* entries       [[buffer(0)]],   // [count] tokens, or rows of the previous step
    device const uint* previous      [[buffer(1)]],   // [rows of the previous step]
    device uint* tokens              [[buffer(2)]],   // [count]
    constant FeedArguments& args     [[buffer(3)]],
    uint index [[thread_position_in_grid]])
{
    if (index < args.count) tokens[index] = resolved(entries[index], previous);
}

[[max_total_threads_per_threadgroup(1024)]]
kernel void sample_prepare(
    device const float* logits       [[buffer(0)]],
    device float* changed            [[buffer(1)]],
    device atomic_uint* counts       [[buffer(2)]],
    device const SampleRow* rows     [[buffer(3)]],
    device const uint* masks         [[buffer(4)]],   // one bit a token, from word row.mask on
    device const uint* bias_tokens   [[buffer(5)]],
    device const float* bias_values  [[buffer(6)]],
    device const uint* history       [[buffer(7)]],
    device const uint* previous      [[buffer(8)]],
    constant SampleArguments& args   [[buffer(9)]],
    uint row_index [[threadgroup_position_in_grid]],
    uint index     [[thread_index_in_threadgroup]],
    uint threads   [[threads_per_threadgroup]])
{
    device const SampleRow& row = rows[row_index];
    if (row.changes == 0) return;   // the whole threadgroup
    const uint vocab = args.vocab;
    logits += ulong(row_index) * vocab;
    changed += ulong(row_index) * vocab;
    counts += ulong(row_index) * vocab;
    for (uint i = index; i < vocab; i += threads) {
        float logit = logits[i];
        const bool allowed = row.mask == NO_MASK || ((masks[row.mask + i / 32] >> (i % 32)) & 1) != 0;
        // A broken logit stays, so that it is reported.
        if (!allowed && !is_broken(logit)) logit = as_type<float>(0xff800000u);
        changed[i] = logit;
    }
    // Whatever an earlier step left that was broken off, the counts of this row's tokens begin at zero.
    for (uint i = index; i < row.history_count; i += threads) {
        const uint token = resolved(history[row.history_start + i], previous);
        if (token < vocab) atomic_store_explicit(&counts[token], 0u, memory_order_relaxed);
    }
    threadgroup_barrier(mem_flags::mem_device);
    for (uint i = index; i < row.bias_count; i += threads) {
        device const uint* biased = bias_tokens + row.bias_start;
        const uint token = biased[i];
        bool first = token < vocab;
        for (uint j = 0; j < i && first; j++) first = biased[j] != token;
        // The first of several biases of one token adds them all, in their order.
        for (uint j = i; j < row.bias_count && first; j++) {
            if (biased[j] == token) changed[token] += bias_values[row.bias_start + j];
        }
    }
    for (uint i = index; i < row.history_count; i += threads) {
        const uint token = resolved(history[row.history_start + i], previous);
        if (token < vocab) atomic_fetch_add_explicit(&counts[token], 1u, memory_order_relaxed);
    }
    threadgroup_barrier(mem_flags::mem_device);
    for (uint i = index; i < row.history_count; i += threads) {
        const uint token = resolved(history[row.history_start + i], previous);
        if (token >= vocab) continue;
        // Of the threads with the same token one finds its count, and leaves zero behind.
        const uint count = atomic_exchange_explicit(&counts[token], 0u, memory_order_relaxed);
        if (count == 0) continue;
        const float logit = changed[token];
        const float scaled = logit > 0.0f ? logit / row.repetition : logit * row.repetition;
        changed[token] = scaled - (float(count) * row.frequency + row.presence);
    }
}
