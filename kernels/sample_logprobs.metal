// Log probabilities of the chosen token and of the most likely ones: see sample.metal for the whole.
//
//   logprob(token) = logit - best - ln(sum over the vocabulary of exp(logit - best))
//
// of the model's own logits: before mask, bias, penalties, filters and temperature.
//
// Thread map: one threadgroup a row; rows that ask for nothing, or for which no token was chosen, write nothing. The
// most likely tokens are found as top-k is (common/search.h), collected in threadgroup memory in any order, and each put at
// the place that its rank gives. Places beyond the vocabulary hold no token (0xffffffff).
//
// Bytes: the logits, about 20 times out of the cache if top tokens are asked for.
// Numerics: the sum is exact but for the f32 exp; the logarithm adds 4e-7 at most.
// Twin: wootz_gpu::twins::sample::logprobs.
#include <metal_stdlib>
#include "arguments.h"
using namespace metal;
#include "common/quads.h"
#include "common/team.h"
#include "common/random.h"
#include "common/shares.h"
#include "common/search.h"
#include "common/draw.h"

// The most top tokens of a row.
constant constexpr uint TOP_LIMIT = 128;

[[max_total_threads_per_threadgroup(1024)]]
kernel void sample_logprobs(
    device const float* logits       [[buffer(0)]],
    device const SampleRow* rows     [[buffer(1)]],
    device const uint* tokens        [[buffer(2)]],   // [rows]
    device const uint* status        [[buffer(3)]],   // [rows, 2]
    device float* chosen             [[buffer(4)]],   // [rows]
    device uint* top_tokens          [[buffer(5)]],   // [rows, top]
    device float* top_logprobs       [[buffer(6)]],   // [rows, top]
    constant SampleArguments& args   [[buffer(7)]],
    uint row_index  [[threadgroup_position_in_grid]],
    uint index      [[thread_index_in_threadgroup]],
    uint threads    [[threads_per_threadgroup]],
    uint lane       [[thread_index_in_simdgroup]],
    uint simdgroup  [[simdgroup_index_in_threadgroup]],
    uint simdgroups [[simdgroups_per_threadgroup]])
{
    threadgroup ulong partial[32];
    threadgroup uint least[32];
    threadgroup float list_logits[TOP_LIMIT];
    threadgroup uint list_tokens[TOP_LIMIT];
    threadgroup atomic_uint list_count;
    const Team team = {index, threads, lane, simdgroup, simdgroups};
    const Scratch scratch = {partial, partial, least};
    device const SampleRow& row = rows[row_index];
    if (row.logprobs == 0 || status[2 * row_index] != CHOSEN) return;   // the whole threadgroup
    const uint vocab = args.vocab;
    device const float* x = logits + ulong(row_index) * vocab;
    if (index == 0) atomic_store_explicit(&list_count, 0u, memory_order_relaxed);

    const float best = logit_of(best_of(x, vocab, least, team).key);
    const ulong mass = mass_of_all(x, vocab, best, scratch, team);
    // The mass is at least one, and its upper 24 bits are enough for a logarithm in f32.
    const float log_mass = precise::log(float(mass >> 20) / 16777216.0f);
    if (index == 0) chosen[row_index] = (x[tokens[row_index]] - best) - log_mass;

    const uint wanted = min(min(row.top_count, args.top), vocab);
    if (wanted == 0) return;
    const Kept kept = first_tokens(Vocabulary{x, vocab}, wanted, partial, team);
    uint last_tie = 0;
    if (kept.ties > 0) last_tie = tied_token(Vocabulary{x, vocab}, kept.key, kept.ties - 1, scratch, team);
    for (uint i = index; i < vocab; i += threads) {
        const uint key = key_of(x[i]);
        if (key > kept.key || (kept.ties > 0 && key == kept.key && i <= last_tie)) {
            const uint place = atomic_fetch_add_explicit(&list_count, 1u, memory_order_relaxed);
            list_logits[place] = x[i];
            list_tokens[place] = i;
        }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    const uint listed = atomic_load_explicit(&list_count, memory_order_relaxed);
    // A token's place is the number of those before it.
    for (uint i = index; i < args.top; i += threads) {
        const ulong out = ulong(row_index) * args.top;
        if (i >= listed) {
            top_tokens[out + i] = NONE;
            continue;
        }
        const uint key = key_of(list_logits[i]);
        uint place = 0;
        for (uint j = 0; j < listed; j++) {
            const uint other = key_of(list_logits[j]);
            place += other > key || (other == key && list_tokens[j] < list_tokens[i]) ? 1 : 0;
        }
        top_tokens[out + place] = list_tokens[i];
        top_logprobs[out + place] = (list_logits[i] - best) - log_mass;
    }
}
