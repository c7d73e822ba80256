// From logits to tokens, on the device.
//
// For each row, in the order of the engine's sampler (wootz_engine::sampler, which is its twin):
//
//   mask, logit bias, penalties            sample_prepare    only rows that change their logits
//   top-k, top-p, min-p, temperature, draw sample_choose     temperature 0: the most likely token, no draw
//   log probabilities                      sample_logprobs   only if a row asks for them
//   tokens for the next step               feed_tokens
//
// A token of the history or of the next step's input may stand as 0x80000000 | k: the token that row k of the
// previous step chose. So a step can be encoded while the one before it still runs.
//
// Shapes: logits f32 [rows, vocab] (never changed: log probabilities are the model's own), changed f32 [rows, vocab],
// counts u32 [rows, vocab] (scratch), SampleRow [rows], tokens u32 [rows], status u32 [rows, 2].
//
// Thread map: one threadgroup a row in every kernel; its threads stride over the vocabulary. Kernels that are launched
// with 1,024 threads say so (max_total_threads_per_threadgroup): left alone, Apple's compiler may take so many
// registers for a thread that fewer fit.
//
// No sorting. The tokens that filters keep are the first of an order, so each filter is a search for the key where
// the order ends (common/search.h). One pass counts the tokens within some distances of the best; if at most 2,048
// lie within one of them that holds all that the filters can keep, they are copied to threadgroup memory, and all searches
// run there. Else they run over the logits: slower (16 passes a search), and the same answer.
//
// Bytes: the logits are read two to four times, mostly out of the cache.
//
// Numerics: shares are integers of 44 fractional bits (common/shares.h), so masses are exact and the number of threads
// changes nothing. The twin adds f32 shares in f64: with the same exp the boundaries between tokens differ by less than
// 2^-27 of the mass altogether, which is how seldom a draw differs; where the compiler fuses multiply-adds in exp, by 1e-7.
// Typical-p needs the entropy and another order: the launch refuses it, and the row is sampled on the host.
#include <metal_stdlib>
#include "arguments.h"
using namespace metal;
#include "common/quads.h"
#include "common/team.h"
#include "common/random.h"
#include "common/shares.h"
#include "common/search.h"
#include "common/draw.h"

// How far from the best the shortlist may reach; the last takes every possible token.
constant float REACHES[6] = {1.0f, 2.0f, 4.0f, 8.0f, 14.0f, FLT_MAX};

// The farthest of REACHES with at most SHORTLIST tokens, or -1.
inline float reach_of(device const float* x, uint vocab, float best, threadgroup ulong* partial, Team team) {
    uint within[6] = {0, 0, 0, 0, 0, 0};
    for (uint i = team.index; i < vocab; i += team.count) {
        if (key_of(x[i]) <= KEY_IMPOSSIBLE) continue;
        const float distance = best - x[i];
        for (uint reach = 0; reach < 6; reach++) within[reach] += distance <= REACHES[reach] ? 1 : 0;
    }
    float farthest = -1.0f;
    for (uint half_of = 0; half_of < 2; half_of++) {
        // Three counts of 21 bits in one sum.
        const uint first = 3 * half_of;
        const ulong packed = ulong(within[first]) | (ulong(within[first + 1]) << 21) | (ulong(within[first + 2]) << 42);
        const ulong sum = team_sum_wide(packed, partial, team);
        for (uint part = 0; part < 3; part++) {
            if (((sum >> (21 * part)) & 0x1fffffu) <= SHORTLIST) farthest = REACHES[first + part];
        }
    }
    return farthest;
}

[[max_total_threads_per_threadgroup(1024)]]
kernel void sample_choose(
    device const float* logits       [[buffer(0)]],
    device const float* changed      [[buffer(1)]],
    device const SampleRow* rows     [[buffer(2)]],
    device uint* tokens              [[buffer(3)]],   // [rows]
    device uint* status              [[buffer(4)]],   // [rows, 2]
    constant SampleArguments& args   [[buffer(5)]],
    uint row_index  [[threadgroup_position_in_grid]],
    uint index      [[thread_index_in_threadgroup]],
    uint threads    [[threads_per_threadgroup]],
    uint lane       [[thread_index_in_simdgroup]],
    uint simdgroup  [[simdgroup_index_in_threadgroup]],
    uint simdgroups [[simdgroups_per_threadgroup]])
{
    threadgroup ulong sums[BLOCK];
    threadgroup ulong partial[32];
    threadgroup uint least[32];
    threadgroup float list_logits[SHORTLIST];
    threadgroup uint list_tokens[SHORTLIST];
    threadgroup atomic_uint list_count;
    const Team team = {index, threads, lane, simdgroup, simdgroups};
    const Scratch scratch = {sums, partial, least};
    device const SampleRow& row = rows[row_index];
    const uint vocab = args.vocab;
    device const float* x = logits + ulong(row_index) * vocab;
    if (row.changes != 0) x = changed + ulong(row_index) * vocab;
    if (index == 0) atomic_store_explicit(&list_count, 0u, memory_order_relaxed);

    const Best best = best_of(x, vocab, least, team);
    uint outcome = CHOSEN;
    uint token = best.token;
    if (best.broken != NONE) {
        outcome = BROKEN_LOGIT;
    } else if (best.key <= KEY_IMPOSSIBLE) {
        outcome = NO_TOKEN_LEFT;
    } else if (row.greedy == 0) {
        const float top = logit_of(best.key);
        const ulong uniform = uniform_draw(uint2(row.seed[0], row.seed[1]), uint2(row.draw[0], row.draw[1]));
        if (row.top_k == 0 && !has_top_p(row) && row.has_min_p == 0) {
            token = draw_from_all(x, vocab, top, row.scale, uniform, scratch, team);
        } else {
            const bool by_mass = row.top_k == 0 && has_top_p(row);
            ulong mass = 0;
            if (by_mass) mass = mass_of_all(x, vocab, top, scratch, team);
            const float reach = reach_of(x, vocab, top, partial, team);
            for (uint i = index; i < vocab; i += threads) {
                if (key_of(x[i]) > KEY_IMPOSSIBLE && top - x[i] <= reach) {
                    const uint place = atomic_fetch_add_explicit(&list_count, 1u, memory_order_relaxed);
                    list_logits[place] = x[i];
                    list_tokens[place] = i;
                }
            }
            threadgroup_barrier(mem_flags::mem_threadgroup);
            const uint listed = atomic_load_explicit(&list_count, memory_order_relaxed);
            const Shortlist list = {list_logits, list_tokens, listed};
            bool holds_all = reach == FLT_MAX;
            if (row.top_k > 0) {
                holds_all = holds_all || listed >= row.top_k;
            } else if (by_mass) {
                const Weighed measure = {Kept{KEY_IMPOSSIBLE, 0}, top, 1.0f, 0.0f, false};
                holds_all = sum_above(list, measure, 0, partial, team) >= nucleus_mass(mass, row) || holds_all;
            } else {
                holds_all = holds_all || -row.min_p_floor <= reach;
            }
            if (holds_all) {
                token = draw_filtered(list, row, top, mass, uniform, scratch, team);
            } else {
                token = draw_filtered(Vocabulary{x, vocab}, row, top, mass, uniform, scratch, team);
            }
        }
    }
    if (index == 0) {
        tokens[row_index] = outcome == CHOSEN ? token : 0;
        status[2 * row_index] = outcome;
        status[2 * row_index + 1] = outcome == BROKEN_LOGIT ? best.broken : 0;
    }
}
