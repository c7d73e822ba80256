// Rotary position embedding of q, in place, and of k on its way to the pages, with v: one launch between the projections and
// attention. With the norms of their heads before it, where a model has them.
//
// norm_rope_* first:   x = x · rsqrt(mean(x²) + epsilon) · (weight + offset)     of each head of q and k, weight [head_dim]
//
// Pair p of a head turns by angle = position · frequency[p]:
//
//   x' = x·cos - y·sin,   y' = y·cos + x·sin     (cos and sin times `magnitude`)
//
//   *_halves       x, y = head[p], head[p + pairs]        *_interleaved  x, y = head[2p], head[2p + 1]
//
// Elements of a head after 2·pairs are left alone. Every way of stretching contexts (linear, Llama 3.1, YaRN, a
// checkpoint's own factors) is in the frequencies, which are computed once at load: wootz_spec::Rope::rotation.
//
//   pool[cell of (page, layer, head)] · K[dim][slot] = half(turned key[row][head][dim])
//   pool[cell of (page, layer, head)] · V[slot][dim] = half(value[row][head][dim])       page, slot = slots[row]
//
// A cell holds the 16 tokens of a page for one head: K transposed [head_dim][16], then V [16][head_dim], f16.
//
// Shapes: query f32 [rows, query_heads, head_dim], key and value f32 [rows, key_heads, head_dim], frequencies f32 [pairs].
// A head has a multiple of 8 elements, 256 at most.
//
// Thread map: a simdgroup has one row, its lanes pairs: loads are contiguous, 128 bytes a simdgroup. The simdgroups of a
// threadgroup (up to 16) have neighbouring rows and either HEADS query heads of each, so that a sine and a cosine serve
// them all, or one key head and its value. Keys are turned around in threadgroup memory (common/kv_page.h). A lane asks for
// all that it reads before it computes a sine: of one row, what takes time is how often memory is waited for.
//
//   grid [⌈rows / simdgroups⌉, ⌈query_heads / HEADS⌉ + key_heads]
//
// Bytes: 8·rows·query_heads·head_dim of queries, read and written; 12·rows·key_heads·head_dim of keys and values, of which
// a third is written. FLOPs: 6 a pair and head. Rounding to f16 is to nearest even, as on every device.
//
// Numerics: the angle is the f32 product of the position and an f32 frequency, as in Transformers and in the twin; at
// position 100,000 another rounding would be visible. precise::sin and precise::cos hold within 4 units in the last
// place over all of f32 (Metal Shading Language, section 8.2); the fast ones only within ±π, and are of no use here.
// Neither does the number of heads per thread change a result.
//
// Twins: wootz_backend::cpu::reference::{head_norm, rope}; wootz_gpu::twins::attention::Cells says which element goes where.
#include <metal_stdlib>
#include "arguments.h"
using namespace metal;
#include "common/kv_page.h"
#include "common/quads.h"

// Query heads that a simdgroup turns.
constant constexpr uint HEADS = 4;
// A row of keys in threadgroup memory: the odd number of words puts neighbouring rows into different banks.
constant constexpr uint PADDED = 256 + 2;

// The two elements of pair `pair`; those behind the pairs that turn go in twos as they lie.
template <bool INTERLEAVED>
inline uint2 elements_of(uint pair, uint pairs) {
    return INTERLEAVED || pair >= pairs ? uint2(2 * pair, 2 * pair + 1) : uint2(pair, pair + pairs);
}

// The factor of a head's norm. Its squares are added by quads: any order would do, this one is that of other norms.
inline float norm_factor(device const float* head, constant RopeArguments& args, uint lane) {
    const float4 first = load_quad(head, lane, args.head_dim), second = load_quad(head, lane + 32, args.head_dim);
    const float sum = dot(first, first) + dot(second, second);
    return precise::rsqrt(simd_sum(sum) / float(args.head_dim) + args.epsilon);
}

// HELD pairs of up to COUNT heads of a row, as a lane holds them: its own, 32 apart. Behind the last head or pair one of its
// own is held again. There are no conditions, so that no load waits for one.
template <bool INTERLEAVED, bool NORMED, uint COUNT, uint HELD>
struct Pairs {
    uint2 place[HELD];
    bool held[HELD], turns[HELD];
    float frequency[HELD];
    float2 value[HELD][COUNT];

    void load(device const float* heads, uint count, device const float* frequencies, device const float* weight,
              thread const float* factors, uint lane, constant RopeArguments& args) thread {
        for (uint j = 0; j < HELD; j++) {
            held[j] = lane + 32 * j < args.head_dim / 2;
            const uint pair = held[j] ? lane + 32 * j : lane;
            place[j] = elements_of<INTERLEAVED>(pair, args.pairs);
            turns[j] = pair < args.pairs;
            frequency[j] = frequencies[min(pair, args.pairs - 1)];
            for (uint h = 0; h < COUNT; h++) {
                device const float* head = heads + min(h, count - 1) * args.head_dim;
                value[j][h] = float2(head[place[j].x], head[place[j].y]);
            }
        }
        if (!NORMED) return;
        for (uint j = 0; j < HELD; j++) {
            const float2 weights = float2(weight[place[j].x], weight[place[j].y]) + args.offset;
            for (uint h = 0; h < COUNT; h++) value[j][h] = value[j][h] * (factors[h] * weights);
        }
    }

    void turn(float position, float magnitude) thread {
        for (uint j = 0; j < HELD; j++) {
            const float angle = position * frequency[j];
            const float sine = precise::sin(angle) * magnitude;
            const float cosine = precise::cos(angle) * magnitude;
            for (uint h = 0; h < COUNT; h++) {
                const float a = value[j][h].x, b = value[j][h].y;
                const float2 turned = float2(a * cosine - b * sine, b * cosine + a * sine);
                value[j][h] = select(value[j][h], turned, bool2(turns[j]));
            }
        }
    }
};

template <bool INTERLEAVED, bool NORMED, uint HELD>
inline void turn_queries(device float* heads, uint count, float position, device const float* frequencies,
                         device const float* weight, constant RopeArguments& args, uint lane) {
    float factors[HEADS];
    for (uint h = 0; NORMED && h < HEADS; h++) factors[h] = norm_factor(heads + min(h, count - 1) * args.head_dim, args, lane);
    if (NORMED) simdgroup_barrier(mem_flags::mem_device);   // other lanes have read what this one writes
    if (lane >= args.head_dim / 2) return;
    Pairs<INTERLEAVED, NORMED, HEADS, HELD> pairs;
    pairs.load(heads, count, frequencies, weight, factors, lane, args);
    pairs.turn(position, args.magnitude);
    for (uint h = 0; h < HEADS; h++) {
        for (uint j = 0; j < HELD; j++) {
            if (h >= count || !pairs.held[j] || !(NORMED || pairs.turns[j])) continue;
            heads[h * args.head_dim + pairs.place[j].x] = pairs.value[j][h].x;
            heads[h * args.head_dim + pairs.place[j].y] = pairs.value[j][h].y;
        }
    }
}

// The key goes to threadgroup memory, the value beside it to where it stays.
template <bool INTERLEAVED, bool NORMED, uint HELD>
inline void turn_key(device const float* head, device const float* value, threadgroup half* key_to, device half* value_to,
                     float position, device const float* frequencies, device const float* weight,
                     constant RopeArguments& args, uint lane) {
    float factor = 1.0f;
    if (NORMED) factor = norm_factor(head, args, lane);
    if (lane >= args.head_dim / 2) return;
    Pairs<INTERLEAVED, NORMED, 1, HELD> pairs;
    pairs.load(head, 1, frequencies, weight, &factor, lane, args);
    // Quads of the value: half as many as pairs.
    const uint quads = args.head_dim / 4;
    float4 quad[HELD / 2];
    for (uint j = 0; j < HELD / 2; j++) quad[j] = ((device const float4*)value)[min(lane + 32 * j, quads - 1)];
    pairs.turn(position, args.magnitude);
    for (uint j = 0; j < HELD; j++) {
        if (!pairs.held[j]) continue;
        key_to[pairs.place[j].x] = half(pairs.value[j][0].x);
        key_to[pairs.place[j].y] = half(pairs.value[j][0].y);
    }
    for (uint j = 0; j < HELD / 2; j++) {
        if (lane + 32 * j < quads) ((device half4*)value_to)[lane + 32 * j] = half4(quad[j]);
    }
}

template <bool INTERLEAVED, bool NORMED>
[[max_total_threads_per_threadgroup(512)]]
kernel void rope_write(
    device float* query               [[buffer(0)]],   // [rows, query_heads, head_dim], updated
    device const float* key           [[buffer(1)]],   // [rows, key_heads, head_dim]
    device const float* value         [[buffer(2)]],   // [rows, key_heads, head_dim]
    device const float* frequencies   [[buffer(3)]],   // [pairs]
    device const uint* positions      [[buffer(4)]],   // [rows]
    device const uint* slots          [[buffer(5)]],   // [rows]
    device const float* query_weight  [[buffer(6)]],   // [head_dim], where NORMED
    device const float* key_weight    [[buffer(7)]],   // [head_dim], where NORMED
    device half* pool                 [[buffer(8)]],
    constant RopeArguments& args      [[buffer(9)]],
    uint2 group      [[threadgroup_position_in_grid]],
    uint thread_id   [[thread_index_in_threadgroup]],
    uint lane        [[thread_index_in_simdgroup]],
    uint simdgroup   [[simdgroup_index_in_threadgroup]],
    uint simdgroups  [[simdgroups_per_threadgroup]])
{
    threadgroup half tile[WRITTEN_ROWS * PADDED];
    const uint first = group.x * simdgroups, rows = min(simdgroups, args.rows - first), row = first + simdgroup;
    const uint blocks = (args.query_heads + HEADS - 1) / HEADS, dim = args.head_dim;
    if (group.y < blocks) {   // a whole threadgroup
        if (simdgroup >= rows) return;
        const uint head = group.y * HEADS, count = args.query_heads - head;
        device float* heads = query + (ulong(row) * args.query_heads + head) * dim;
        const float position = float(positions[row]);
        if (dim <= 128) turn_queries<INTERLEAVED, NORMED, 2>(heads, count, position, frequencies, query_weight, args, lane);
        else turn_queries<INTERLEAVED, NORMED, 4>(heads, count, position, frequencies, query_weight, args, lane);
        return;
    }
    const uint head = group.y - blocks, cell = args.layer_offset + head * 2 * PAGE_TOKENS * dim;
    if (simdgroup < rows) {
        const ulong at = (ulong(row) * args.key_heads + head) * dim;
        const uint slot = slots[row];
        threadgroup half* key_to = tile + simdgroup * PADDED;
        device half* value_to = pool + ulong(slot / PAGE_TOKENS) * args.page_stride + cell
            + (PAGE_TOKENS + slot % PAGE_TOKENS) * dim;
        const float position = float(positions[row]);
        if (dim <= 128)
            turn_key<INTERLEAVED, NORMED, 2>(key + at, value + at, key_to, value_to, position, frequencies, key_weight, args, lane);
        else
            turn_key<INTERLEAVED, NORMED, 4>(key + at, value + at, key_to, value_to, position, frequencies, key_weight, args, lane);
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    store_transposed(tile, PADDED, pool, slots + first, rows, dim, args.page_stride, cell, thread_id, 32 * simdgroups);
}

template [[host_name("rope_halves")]] kernel decltype(rope_write<false, false>) rope_write<false, false>;
template [[host_name("rope_interleaved")]] kernel decltype(rope_write<true, false>) rope_write<true, false>;
template [[host_name("norm_rope_halves")]] kernel decltype(rope_write<false, true>) rope_write<false, true>;
template [[host_name("norm_rope_interleaved")]] kernel decltype(rope_write<true, true>) rope_write<true, true>;
