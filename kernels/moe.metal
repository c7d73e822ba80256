// Mixture of experts: which experts a row goes to, and how their results come back together.
//
//   moe_route     logits [rows, experts] → chosen experts and their weights [rows, slots]
//   moe_sort      pairs (row, slot) in the order of their experts, for the grouped matrix product (gemm)
//   moe_gather    the rows of the input in that order
//   moe_combine   out[r] = added[r] + Σ_slot weight[r, slot] · result of the pair (r, slot)
//
// Few pairs don't need sorting: moe_gemv multiplies each with its expert's matrix (common/moe_gemv.h).
// Pair p is slot p % slots of row p / slots.
//
// Twins: wootz_gpu::twins::moe.
#include <metal_stdlib>
#include "arguments.h"
using namespace metal;
#include "common/quads.h"

constant constexpr uint MOST_EXPERTS = 512;
constant constexpr uint ROWS_PER_GROUP = 4;
// Experts that a lane looks after.
constant constexpr uint OWN = MOST_EXPERTS / 32;
// The choice score of an expert that can't be chosen (again).
constant constexpr float UNAVAILABLE = -FLT_MAX;
constant constexpr uint NOBODY = 0xffffffffu;

// Keeps the best groups: those with the highest sum of their `args.group_best` (1 or 2) highest choice scores.
// Groups are runs of experts; lane g scores group g. Called by one simdgroup.
inline uint kept_groups(threadgroup const float* choices, constant RouteArguments& args, uint lane) {
    const uint size = args.experts / args.groups;
    float score = UNAVAILABLE;
    if (lane < args.groups) {
        float best = UNAVAILABLE, second = UNAVAILABLE;
        for (uint i = 0; i < size; i++) {
            const float choice = choices[lane * size + i];
            second = max(second, min(best, choice));
            best = max(best, choice);
        }
        score = args.group_best == 2 && size > 1 ? best + second : best;
    }
    uint kept = 0;
    for (uint i = 0; i < args.kept_groups; i++) {
        const float most = simd_max(score);
        const uint winner = min(simd_min(score == most ? lane : NOBODY), 31u);
        kept |= 1u << winner;
        if (lane == winner) score = UNAVAILABLE;
    }
    return kept;
}

// The router (softmax: Mixtral, Qwen; sigmoid with a selection bias and groups: DeepSeek-V3):
//
//   score = softmax(logits) or sigmoid(logits);  choice = score + selection bias
//   only experts of the best groups, if there are groups; of them the `slots` with the highest choice, ties to the lowest
//   weight = score (the bias only selects), divided by the chosen scores' sum if args.normalised, times args.scale
//
// Thread map: a simdgroup a row, four rows a threadgroup; lane l holds experts l, l + 32, … (up to 512) in registers. The
// best is found `slots` times by simd_max, and lane s keeps what slot s got: no barrier, no sorting.
// Bytes: 4·rows·experts read, 8·rows·slots written. Numerics: f32, precise exp; experts whose scores differ by less than
// a few roundings may be chosen otherwise than by the twin in f64.
kernel void moe_route(
    device const float* logits       [[buffer(0)]],   // [rows, experts]
    device const float* bias         [[buffer(1)]],   // [experts], read if args.has_bias
    device uint* chosen              [[buffer(2)]],   // [rows, slots]
    device float* weights            [[buffer(3)]],   // [rows, slots]
    constant RouteArguments& args    [[buffer(4)]],
    uint group     [[threadgroup_position_in_grid]],
    uint simdgroup [[simdgroup_index_in_threadgroup]],
    uint lane      [[thread_index_in_simdgroup]])
{
    threadgroup float choices[ROWS_PER_GROUP][MOST_EXPERTS];
    const uint row = group * ROWS_PER_GROUP + simdgroup;
    if (row >= args.rows) return;   // a whole simdgroup
    logits += ulong(row) * args.experts;
    float score[OWN];
    float choice[OWN];
    float top = UNAVAILABLE;
    for (uint j = 0; j < OWN; j++) {
        const uint expert = lane + 32 * j;
        score[j] = expert < args.experts ? logits[expert] : UNAVAILABLE;
        top = max(top, score[j]);
    }
    top = simd_max(top);
    float sum = 0.0f;
    for (uint j = 0; j < OWN; j++) {
        if (args.sigmoid != 0) {
            score[j] = 1.0f / (1.0f + precise::exp(-score[j]));
        } else {
            score[j] = lane + 32 * j < args.experts ? precise::exp(score[j] - top) : 0.0f;
            sum += score[j];
        }
    }
    sum = simd_sum(sum);
    for (uint j = 0; j < OWN; j++) {
        const uint expert = lane + 32 * j;
        if (args.sigmoid == 0) score[j] /= sum;
        choice[j] = UNAVAILABLE;
        if (expert < args.experts) {
            choice[j] = score[j];
            if (args.has_bias != 0) choice[j] += bias[expert];
            choices[simdgroup][expert] = choice[j];
        }
    }
    simdgroup_barrier(mem_flags::mem_threadgroup);
    if (args.groups > 1) {
        const uint kept = kept_groups(choices[simdgroup], args, lane);
        const uint size = args.experts / args.groups;
        for (uint j = 0; j < OWN; j++) {
            const uint expert = lane + 32 * j;
            if (expert < args.experts && ((kept >> (expert / size)) & 1) == 0) choice[j] = UNAVAILABLE;
        }
    }
    uint own_expert = 0;
    float own_weight = 0.0f;
    float total = 0.0f;
    for (uint slot = 0; slot < args.slots; slot++) {
        float best = UNAVAILABLE;
        uint expert = NOBODY;
        for (uint j = 0; j < OWN; j++) {
            if (choice[j] > best) {
                best = choice[j];
                expert = lane + 32 * j;
            }
        }
        const float most = simd_max(best);
        // Logits that are no numbers choose nobody: their row is lost, and no memory outside is touched.
        const uint winner = min(simd_min(best == most ? expert : NOBODY), args.experts - 1);
        float weight = 0.0f;
        for (uint j = 0; j < OWN; j++) {
            if (lane + 32 * j == winner) {
                weight = score[j];
                choice[j] = UNAVAILABLE;
            }
        }
        weight = simd_sum(weight);   // of one lane and zeros
        total += weight;
        if (lane == slot) {
            own_expert = winner;
            own_weight = weight;
        }
    }
    if (lane < args.slots) {
        if (args.normalised != 0) own_weight /= total + 1e-20f;
        chosen[row * args.slots + lane] = own_expert;
        weights[row * args.slots + lane] = own_weight * args.scale;
    }
}

// A counting sort that keeps the order of pairs of one expert, whatever the order of threads.
//
//   thread (e, s)   counts the pairs of expert e in segment s of all pairs
//   prefix sum      over (e, s), e first: where the thread's first pair goes
//   thread (e, s)   puts them there
//
// One threadgroup of experts · segments threads, up to 1,024. All threads of a segment read the same pair at once.
// Bytes: 8·pairs read, 8·pairs and the offsets written.
[[max_total_threads_per_threadgroup(1024)]]
kernel void moe_sort(
    device const uint* chosen        [[buffer(0)]],   // [pairs]
    device uint* offsets             [[buffer(1)]],   // [experts + 1]: sorted pairs offsets[e] .. offsets[e + 1] are e's
    device uint* sorted              [[buffer(2)]],   // [pairs]: the pair at each sorted place
    device uint* places              [[buffer(3)]],   // [pairs]: the sorted place of each pair
    constant SortArguments& args     [[buffer(4)]],
    uint index     [[thread_index_in_threadgroup]],
    uint simdgroup [[simdgroup_index_in_threadgroup]],
    uint lane      [[thread_index_in_simdgroup]])
{
    threadgroup uint counts[32];
    const uint expert = index / args.segments;
    const uint segment = index % args.segments;
    const uint length = (args.pairs + args.segments - 1) / args.segments;
    const uint start = min(args.pairs, segment * length);
    const uint end = expert < args.experts ? min(args.pairs, start + length) : start;
    uint count = 0;
    for (uint pair = start; pair < end; pair++) count += chosen[pair] == expert ? 1 : 0;
    const uint before = simd_prefix_exclusive_sum(count);
    if (lane == 31) counts[simdgroup] = before + count;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    uint place = before + simd_sum(lane < simdgroup ? counts[lane] : 0);
    if (expert < args.experts && segment == 0) offsets[expert] = place;
    if (index == 0) offsets[args.experts] = args.pairs;
    for (uint pair = start; pair < end; pair++) {
        if (chosen[pair] != expert) continue;
        sorted[place] = pair;
        places[pair] = place;
        place += 1;
    }
}

// A thread a quad; x counts quads, y sorted places. Bytes: 4·pairs·width read and written.
kernel void moe_gather(
    device const float* input        [[buffer(0)]],   // [rows, width]
    device const uint* sorted        [[buffer(1)]],   // [pairs]
    device float* out                [[buffer(2)]],   // [pairs, width]
    constant GatherArguments& args   [[buffer(3)]],
    uint2 place [[thread_position_in_grid]])
{
    if (place.x >= quads_of(args.width)) return;
    const uint row = sorted[place.y] / args.slots;
    const float4 value = load_quad(input + ulong(row) * args.width, place.x, args.width);
    store_quad(out + ulong(place.y) * args.width, place.x, args.width, value);
}

// A thread a quad of a row; x counts quads, y rows. Slots are added in their order, so a row's result does not
// depend on how pairs were sorted. Bytes: 4·(slots + 1)·rows·width read, 4·rows·width written.
kernel void moe_combine(
    device const float* results      [[buffer(0)]],   // [pairs, width], sorted if args.sorted
    device const float* weights      [[buffer(1)]],   // [rows, slots]
    device const uint* places        [[buffer(2)]],   // [pairs], read if args.sorted
    device const float* added        [[buffer(3)]],   // [rows, width], read if args.has_added
    device float* out                [[buffer(4)]],   // [rows, width]
    constant CombineArguments& args  [[buffer(5)]],
    uint2 place [[thread_position_in_grid]])
{
    const uint width = args.width;
    if (place.x >= quads_of(width)) return;
    const ulong start = ulong(place.y) * width;
    float4 sum = float4(0.0f);
    if (args.has_added != 0) sum = load_quad(added + start, place.x, width);
    for (uint slot = 0; slot < args.slots; slot++) {
        const uint pair = place.y * args.slots + slot;
        const uint result = args.sorted != 0 ? places[pair] : pair;
        sum += weights[pair] * load_quad(results + ulong(result) * width, place.x, width);
    }
    store_quad(out + start, place.x, width, sum);
}
