// Log probabilities of the chosen token and of the most likely ones: see sample.metal for the whole.
//
//   logprob(token) = logit - best - ln(sum over the vocabulary of exp(logit - best))
//
// of the model's own logits: before mask, bias, penalties, filters and temperature.
//
// Thread map: one threadgroup a row; rows that ask for nothing, or for which no token was chosen, write nothing. The
// most likely tokens are the first of a sorted list of those that are near the best (common/shortlist.h); where more than
// 2,048 are nearer than the nearest reach, they are found as top-k is without sorting (common/search.h), and then sorted. Places
// beyond the vocabulary hold no token (0xffffffff).
//
// Bytes: the logits, out of the cache: twice, and two more times if top tokens are asked for (20 times in that other case).
// Numerics: the sum is exact but for the f32 exp; the logarithm adds 4e-7 at most.
// Twin: wootz_gpu::twins::sample::logprobs.
#include <metal_stdlib>
#include "arguments.h"
using namespace metal;
#include "common/quads.h"
#include "common/team.h"
#include "common/prefix.h"
#include "common/random.h"
#include "common/shares.h"
#include "common/search.h"
#include "common/draw.h"
#include "common/shortlist.h"

// The nearest reach with at least `wanted` tokens, or with all that are possible; -1 if too many tokens are nearer.
inline float reach_of(Vocabulary row, uint wanted, float best, threadgroup ulong* partial, Team team) {
    Within mine = nothing_within(best);
    take_all(mine, row, team);
    const Within all = team_within(mine, partial, team);
    for (uint reach = 0; reach < REACH_COUNT; reach++) {
        if (all.counts[reach] > SHORTLIST) return -1.0f;
        if (all.counts[reach] >= wanted) return REACHES[reach];
    }
    return FLT_MAX;
}

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
    threadgroup uint least[96];
    threadgroup ulong entries[SHORTLIST];
    threadgroup atomic_uint list_count;
    const Team team = {index, threads, lane, simdgroup, simdgroups};
    device const SampleRow& row = rows[row_index];
    if (row.logprobs == 0 || status[2 * row_index] != CHOSEN) return;   // the whole threadgroup
    const uint vocab = args.vocab;
    const Vocabulary row_logits = {logits + ulong(row_index) * vocab, vocab};
    if (index == 0) atomic_store_explicit(&list_count, 0u, memory_order_relaxed);

    const float best = number_of(best_of(row_logits, least, team).key);
    const ulong mass = mass_of_all(row_logits, best, partial, team);
    // The mass is at least one, and its upper 24 bits are enough for a logarithm in f32.
    const float log_mass = precise::log(float(mass >> 20) / 16777216.0f);
    if (index == 0) chosen[row_index] = (row_logits.logits[tokens[row_index]] - best) - log_mass;

    const uint wanted = min(min(row.top_count, args.top), vocab);
    if (wanted == 0) return;
    const float reach = reach_of(row_logits, wanted, best, partial, team);
    const Shortlist list = {entries, &list_count};
    uint listed;
    if (reach >= 0.0f) {
        listed = list_tokens(list, Near{best, reach}, row_logits, team);
    } else {
        const Kept kept = first_tokens(row_logits, wanted, partial, team);
        uint last_tie = 0;
        if (kept.ties > 0) last_tie = tied_token(row_logits, kept.key, kept.ties - 1, partial, least, team);
        listed = list_tokens(list, First{kept, last_tie}, row_logits, team);
    }
    sort(entries, listed, team);
    const ulong out = ulong(row_index) * args.top;
    for (uint i = index; i < args.top; i += threads) {
        if (i >= min(listed, wanted)) {
            top_tokens[out + i] = NONE;
            continue;
        }
        top_tokens[out + i] = entry_token(entries[i]);
        top_logprobs[out + i] = (entry_logit(entries[i]) - best) - log_mass;
    }
}
