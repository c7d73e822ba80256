// From logits to tokens, on the device.
//
// For each row, in the order of the engine's sampler (wootz_engine::sampler, which is its twin):
//
//   mask, logit bias, penalties            sample_prepare    only rows that change their logits
//   the best of each part                  sample_best
//   masses and counts of each part         sample_weigh      only rows that draw: temperature above 0
//   top-k, top-p, min-p, temperature, draw sample_choose     temperature 0: the most likely token, no draw
//   log probabilities                      sample_logprobs   only if a row asks for them
//
// and the next step's embedding takes the tokens where they are (embedding.metal).
//
// What no row of a step needs is not launched. A token of the history or of the next step's input may stand as
// 0x80000000 | k: the token that row k of the previous step chose. So a step can be encoded while the one before it
// still runs.
//
// Shapes: logits f32 [rows, vocab] (never changed: log probabilities are the model's own), changed f32 [rows, vocab],
// counts u32 [rows, vocab] (scratch), SampleRow [rows], tokens u32 [rows], status u32 [rows, 2]. Between the launches:
// bests u32 [rows, parts, 4], masses u64 [rows, blocks], within u32 [rows, parts, 6], lists u64 [rows, parts, 256].
//
// Thread map: a row is cut in parts of 4,096 logits and blocks of 1,024, four in a part.
//
//   sample_best, sample_weigh   a threadgroup a part of a row (sample_parts.metal)
//   others                      a threadgroup a row, whose threads stride over the vocabulary (sample_choose of rows that
//                               draw nothing has a thread for each part's best, and no others)
//
// One threadgroup that reads 128k logits by itself takes about 5 us at what one core of a large GPU loads, and many times
// that where each load waits for the one before: so all that can be is known from the parts before sample_choose begins.
// Kernels that are launched with 1,024 threads say so (max_total_threads_per_threadgroup): left alone, Apple's compiler
// may take so many registers for a thread that fewer fit.
//
// Filters keep the first tokens of an order. sample_choose takes the nearest distance from the best within which surely
// lies all that they keep, copies the tokens within it to threadgroup memory, if they are 2,048 at most, and sorts them
// (common/shortlist.h). It finds them in the parts' lists; where a part has more than 256 so near, among the logits. If too
// many are near, nothing is sorted, and each filter is a search among all logits for the key where the order ends
// (common/search.h): slower (16 passes a search), and the same answer.
//
// Bytes: all logits once a launch, from the cache where the head has just written them: 513 KB for a row of 128,256. Rows
// at temperature 0 read them once, in sample_best. Those that draw without a filter read them twice, and a block of them in
// sample_choose; those that filter read 2 KB of lists for each part there.
//
// Time that is to be expected of one row of 128,256 logits on an H200 (132 cores; 4.8 TB/s, more from the cache): 32 parts of
// 16 KB take as long as memory's latency, 1 to 2 us, and a launch begins 0.6 us after the one before: 3 to 4 us for a row
// at temperature 0, 5 to 7 for one that draws from all, and 10 to 15 for one that filters, more if many are to be sorted.
// 64 rows at temperature 0 are 2,048 threadgroups and 33 MB: about 10 us.
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
#include "common/prefix.h"
#include "common/random.h"
#include "common/shares.h"
#include "common/search.h"
#include "common/draw.h"
#include "common/shortlist.h"

// What a row's shortlist has to hold.
struct Reach {
    float distance;    // from the best, or -1 if too many tokens are near
    bool holds_all;    // whether all that the filters keep lies within; false if only the mass tells
    bool in_lists;     // whether the parts' lists have all that lies within
};

inline Reach reach_of(device const uint* within, uint parts, device const SampleRow& row, Scratch scratch, Team team) {
    Within mine = nothing_within(0.0f);
    uint crowded = REACH_COUNT;    // the first reach that is too much for a part's list
    for (uint part = team.index; part < parts; part += team.count) {
        for (uint reach = 0; reach < REACH_COUNT; reach++) {
            const uint count = within[part * REACH_COUNT + reach];
            mine.counts[reach] += count;
            if (count > PART_LIST) crowded = min(crowded, reach);
        }
    }
    const Within all = team_within(mine, scratch.partial, team);
    crowded = team_min(crowded, scratch.least, team);
    Reach found = {-1.0f, false, false};
    for (uint reach = 0; reach < REACH_COUNT; reach++) {
        if (found.holds_all || all.counts[reach] > SHORTLIST) continue;
        found.distance = REACHES[reach];
        found.in_lists = reach < crowded;
        if (row.top_k > 0) found.holds_all = all.counts[reach] >= row.top_k;
        else if (!keeps_by_mass(row)) found.holds_all = -row.min_p_floor <= REACHES[reach];
        if (REACHES[reach] == FLT_MAX) found.holds_all = true;
    }
    return found;
}

[[max_total_threads_per_threadgroup(1024)]]
kernel void sample_choose(
    device const float* logits       [[buffer(0)]],
    device const float* changed      [[buffer(1)]],
    device const SampleRow* rows     [[buffer(2)]],
    device const uint4* bests        [[buffer(3)]],   // [rows, parts]
    device const ulong* masses       [[buffer(4)]],   // [rows, blocks], read of rows that draw
    device const uint* within        [[buffer(5)]],   // [rows, parts, 6], read of rows that draw
    device const ulong2* lists       [[buffer(6)]],   // [rows, parts, 128], read of rows that draw
    device uint* tokens              [[buffer(7)]],   // [rows]
    device uint* status              [[buffer(8)]],   // [rows, 2]
    constant SampleArguments& args   [[buffer(9)]],
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
    const Scratch scratch = {partial, least};
    device const SampleRow& row = rows[row_index];
    const uint vocab = args.vocab, parts = parts_of(vocab), blocks = blocks_of(vocab);
    if (index == 0) atomic_store_explicit(&list_count, 0u, memory_order_relaxed);

    const Best best = best_of_parts(bests + row_index * parts, parts, least, team);
    uint outcome = CHOSEN;
    uint token = best.token;
    if (best.broken != NONE) {
        outcome = BROKEN_LOGIT;
    } else if (best.key <= KEY_IMPOSSIBLE) {
        outcome = NO_TOKEN_LEFT;
    } else if (row.greedy == 0) {
        const Vocabulary source = sampled_row(logits, changed, rows, row_index, args);
        const float top = number_of(best.key);
        const ulong uniform = uniform_draw(uint2(row.seed[0], row.seed[1]), uint2(row.draw[0], row.draw[1]));
        masses += row_index * blocks;
        if (keeps_all(row)) {
            token = draw_from_all(source, masses, top, row.scale, uniform, scratch, team);
        } else {
            ulong mass = 0;
            if (keeps_by_mass(row)) mass = team_sum_wide(index < blocks ? masses[index] : 0ul, partial, team);
            const Reach reach = reach_of(within + row_index * parts * REACH_COUNT, parts, row, scratch, team);
            const Shortlist list = {entries, &list_count};
            const Near near = {top, reach.distance};
            uint listed = 0;
            if (reach.in_lists) listed = list_listed(list, near, lists + row_index * parts * (PART_LIST / 2), parts, team);
            else if (reach.distance >= 0.0f) listed = list_tokens(list, near, source, team);
            bool holds_all = reach.holds_all;
            if (keeps_by_mass(row) && !holds_all) {
                ulong sum = mass_of(entries, stretch_of(listed, team), untempered(top));
                sum = team_sum_wide(sum, partial, team);
                holds_all = sum >= nucleus_mass(mass, row);
            }
            if (holds_all) {
                sort(entries, listed, team);
                token = draw_sorted(entries, listed, row, top, mass, uniform, scratch, team);
            } else {
                token = draw_filtered(source, row, top, mass, uniform, scratch, team);
            }
        }
    }
    if (index == 0) {
        tokens[row_index] = outcome == CHOSEN ? token : 0;
        status[2 * row_index] = outcome;
        status[2 * row_index + 1] = outcome == BROKEN_LOGIT ? best.broken : 0;
    }
}
