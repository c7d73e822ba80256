// What comes before sampling: see sample.metal for the whole.
//
//   sample_prepare   changed = penalties(logits + bias), where the mask allows; only for rows that change their logits
//
// Penalties look at each token of the history once, with its count:
//
//   logit = (logit > 0 ? logit / repetition : logit · repetition) - (count · frequency + presence)
//
// Thread map: a threadgroup a row, in four stages with a barrier after each: copy with the mask, add biases, count the
// history, penalise. The copy goes by quads, four of a thread under way. Counting is an atomic addition in a row as wide as
// the vocabulary, where the history's tokens were set to zero; then each entry takes its token's count and leaves zero, so
// exactly one entry of equal ones finds a count, and no order of the threads shows in the result.
//
// Bytes: logits and mask read, changed logits written. Numerics: each logit is changed by one thread, in the
// twin's order of operations; only where the compiler fuses the last multiply and add does it round once less.
// Twin: wootz_gpu::twins::sample::changed.
#include <metal_stdlib>
#include "arguments.h"
using namespace metal;
#include "common/quads.h"
#include "common/team.h"
#include "common/shares.h"
#include "common/search.h"
#include "common/entries.h"

// No mask: every token is allowed.
constant constexpr uint NO_MASK = 0xffffffffu;

// A logit that the mask's bit leaves. A broken one stays, so that it is reported.
inline float masked(float logit, uint allowed) {
    return allowed != 0 || is_broken(logit) ? logit : as_type<float>(0xff800000u);
}

// Quads first, first + stride, … of the changed logits: the row's where the mask allows. The logits, and the words of the mask,
// are all asked for before any is stored.
template <bool WHOLE>
inline void copy_quads(
    Vocabulary row, device float* changed, device const uint* masks, uint mask, uint first, uint stride)
{
    float4 values[UNDER_WAY];
    uint allowed[UNDER_WAY];
    load_logits<WHOLE>(row, first, stride, values);
    const uint quads = quads_of(row.count);
    for (uint k = 0; k < UNDER_WAY; k++) {
        const uint quad = min(first + k * stride, quads - 1);
        allowed[k] = mask == NO_MASK ? 15 : masks[mask + quad / 8] >> (4 * (quad % 8));
    }
    for (uint k = 0; k < UNDER_WAY; k++) {
        const uint quad = first + k * stride;
        if (quad >= quads) continue;
        const float4 x = values[k];
        const uint bits = allowed[k];
        store_quad(changed, quad, row.count,
            float4(masked(x.x, bits & 1), masked(x.y, bits & 2), masked(x.z, bits & 4), masked(x.w, bits & 8)));
    }
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
    const Vocabulary source = {logits, vocab};
    for (uint first = index; first < quads_of(vocab); first += UNDER_WAY * threads) {
        if (whole_quads(source)) copy_quads<true>(source, changed, masks, row.mask, first, threads);
        else copy_quads<false>(source, changed, masks, row.mask, first, threads);
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
