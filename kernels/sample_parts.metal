// What is known of the parts of a row before a token is chosen: see sample.metal for the whole.
//
//   sample_best    the best logit of 4,096, its token, the first logit among them that is no number
//   sample_weigh   of rows that draw: the mass of each 1,024; if they filter, how many tokens are how near the row's best, and
//                  the nearest 256 or fewer
//
// Thread map: a threadgroup of 256 threads a part of a row, fewer where a row has less than a part. In sample_best a thread
// has four quads, neighbours beside one another, all asked for before it looks at one. In sample_weigh it has 16 neighbours,
// as the engine adds up shares: two simdgroups are a block. It takes the row's best from those of all parts, 16 bytes each.
//
// Bytes: the logits once a launch: 16 KB a threadgroup, 513 KB a row of 128,256, from the cache. 16 bytes a part are written;
// of rows that filter 2 KB.
// Twin: wootz_gpu::twins::sample::choose, with sample_choose.
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

[[max_total_threads_per_threadgroup(256)]]
kernel void sample_best(
    device const float* logits       [[buffer(0)]],
    device const float* changed      [[buffer(1)]],
    device const SampleRow* rows     [[buffer(2)]],
    device uint4* bests              [[buffer(3)]],   // [rows, parts]: key, token, first broken logit, 0
    constant SampleArguments& args   [[buffer(4)]],
    uint2 place     [[threadgroup_position_in_grid]],   // part, row
    uint index      [[thread_index_in_threadgroup]],
    uint2 shape     [[threads_per_threadgroup]],
    uint lane       [[thread_index_in_simdgroup]],
    uint simdgroup  [[simdgroup_index_in_threadgroup]],
    uint simdgroups [[simdgroups_per_threadgroup]])
{
    threadgroup uint least[96];
    const Team team = {index, shape.x, lane, simdgroup, simdgroups};
    const Vocabulary row = sampled_row(logits, changed, rows, place.y, args);
    Best mine = no_best();
    take_quads(mine, row, place.x * (PART / 4) + index, team.count);
    const Best best = team_best(mine, least, team);
    if (index == 0) bests[place.y * parts_of(args.vocab) + place.x] = uint4(best.key, best.token, best.broken, 0);
}

[[max_total_threads_per_threadgroup(256)]]
kernel void sample_weigh(
    device const float* logits       [[buffer(0)]],
    device const float* changed      [[buffer(1)]],
    device const SampleRow* rows     [[buffer(2)]],
    device const uint4* bests        [[buffer(3)]],   // [rows, parts]
    device ulong* masses             [[buffer(4)]],   // [rows, blocks], of rows that draw from all or keep by mass
    device uint* within              [[buffer(5)]],   // [rows, parts, 6]: tokens within each reach, of rows that filter
    device ulong* lists              [[buffer(6)]],   // [rows, parts, 256]: those within the farthest that fits, then zeros
    constant SampleArguments& args   [[buffer(7)]],
    uint2 place     [[threadgroup_position_in_grid]],   // part, row
    uint index      [[thread_index_in_threadgroup]],
    uint2 shape     [[threads_per_threadgroup]],
    uint lane       [[thread_index_in_simdgroup]],
    uint simdgroup  [[simdgroup_index_in_threadgroup]],
    uint simdgroups [[simdgroups_per_threadgroup]])
{
    threadgroup ulong partial[32];
    threadgroup uint least[96];
    threadgroup ulong entries[PART_LIST];
    threadgroup atomic_uint list_count;
    const Team team = {index, shape.x, lane, simdgroup, simdgroups};
    device const SampleRow& row = rows[place.y];
    if (row.greedy != 0) return;   // the whole threadgroup
    const uint vocab = args.vocab, parts = parts_of(vocab), blocks = blocks_of(vocab);
    const Best best = best_of_parts(bests + place.y * parts, parts, least, team);
    if (best.broken != NONE || best.key <= KEY_IMPOSSIBLE) return;   // the whole threadgroup
    const float top = number_of(best.key);
    const Vocabulary source = sampled_row(logits, changed, rows, place.y, args);
    const uint first = place.x * PART + 16 * index;

    if (!keeps_all(row)) {
        Within mine = nothing_within(top);
        take_quads(mine, source, first / 4, 1);
        const Within all = team_within(mine, partial, team);
        const uint part = place.y * parts + place.x;
        float listed = -1.0f;
        for (uint reach = 0; reach < REACH_COUNT; reach++) {
            if (all.counts[reach] <= PART_LIST) listed = REACHES[reach];
            if (index == reach) within[part * REACH_COUNT + reach] = all.counts[reach];
        }
        for (uint i = index; i < PART_LIST; i += team.count) entries[i] = 0;
        if (index == 0) atomic_store_explicit(&list_count, 0u, memory_order_relaxed);
        threadgroup_barrier(mem_flags::mem_threadgroup);
        if (listed >= 0.0f) list_quads(Shortlist{entries, &list_count}, Near{top, listed}, source, first / 4, 1);
        threadgroup_barrier(mem_flags::mem_threadgroup);
        for (uint i = index; i < PART_LIST; i += team.count) lists[part * PART_LIST + i] = entries[i];
        if (!keeps_by_mass(row)) return;   // the whole threadgroup
    }
    // The nucleus is a share of the mass before the temperature.
    const float scale = keeps_all(row) ? row.scale : 1.0f;
    ulong mass = 0;
    if (first < vocab) mass = mass_from(source, first, top, scale);
    mass = simd_sum_wide(mass);
    if (lane == 0) partial[simdgroup] = mass;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    const uint block = place.x * (PART / BLOCK) + index;
    if (index < PART / BLOCK && block < blocks) {
        const uint half_of = 2 * index;
        masses[place.y * blocks + block] = partial[half_of] + (half_of + 1 < simdgroups ? partial[half_of + 1] : 0ul);
    }
}
