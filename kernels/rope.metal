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
// them all, or one key head and its value. Keys are turned around in threadgroup memory (common/kv_page.h).
//
// How many simdgroups a threadgroup has follows from the rows. Those of a prompt lie in one page, and 16 make whole lines of
// its keys. Rows of different sequences lie in different pages, where each element of a key is a line of its own: 16 rows on
// one core are 2,048 of them, so that few rows are spread over the cores, up to as many threadgroups as large GPUs have cores.
//
// What takes time with few rows is how often memory is waited for. Frequencies, positions, slots and weights are written by no
// launch: they are asked for before the launches before have ended. Then a lane asks for all its elements at once, computes
// sines meanwhile, takes a head's norm from what it holds, and turns it.
//
//   grid [⌈rows / simdgroups⌉, ⌈query_heads / HEADS⌉ + key_heads]
//
// Bytes: 8·rows·query_heads·head_dim of queries, read and written; 12·rows·key_heads·head_dim of keys and values, of which
// a third is written. FLOPs: 6 a pair and head. Rounding to f16 is to nearest even, as on every device.
//
// Numerics: the angle is the f32 product of the position and an f32 frequency, as in Transformers and in the twin; at
// position 100,000 another rounding would be visible. precise::sincos holds within 4 units in the last place over all of
// f32 (Metal Shading Language, section 8.2); the fast one only within ±π, and is of no use here. Neither the number of heads
// a thread has nor that of a threadgroup's simdgroups changes a result. A head's squares are added pair by pair in each lane,
// then over the lanes: any order would do.
//
// Twins: wootz_backend::cpu::reference::{head_norm, rope}; wootz_gpu::twins::attention::Cells says which element goes where.
#include <metal_stdlib>
#include "arguments.h"
using namespace metal;
#include "common/earlier.h"
#include "common/kv_page.h"

// Query heads that a simdgroup turns.
constant constexpr uint HEADS = 4;
// A row of keys in threadgroup memory: the odd number of words puts neighbouring rows into different banks.
constant constexpr uint PADDED = 256 + 2;

// HELD pairs of up to COUNT heads of a row, as a lane holds them: its own, 32 apart. Behind the last head or pair one of its
// own is held again. There are no conditions, so that no load waits for one. (Of heads of fewer than 32 pairs the last is held
// by all lanes that have none.)
template <bool INTERLEAVED, bool NORMED, uint COUNT, uint HELD>
struct Pairs {
    uint2 place[HELD];
    bool held[HELD], turns[HELD];
    float frequency[HELD];
    float2 weights[HELD];
    float2 value[HELD][COUNT];

    // Asks for everything that no launch writes.
    void prepare(device const float* frequencies, device const float* weight, uint lane, constant RopeArguments& args) thread {
        const uint all = args.head_dim / 2;
        for (uint j = 0; j < HELD; j++) {
            held[j] = lane + 32 * j < all;
            const uint pair = held[j] ? lane + 32 * j : min(lane, all - 1);
            turns[j] = pair < args.pairs;
            // Those behind the pairs that turn go in twos as they lie.
            place[j] = INTERLEAVED || !turns[j] ? uint2(2 * pair, 2 * pair + 1) : uint2(pair, pair + args.pairs);
            frequency[j] = frequencies[min(pair, args.pairs - 1)];
            weights[j] = float2(1.0f);
            if (NORMED) weights[j] = float2(weight[place[j].x], weight[place[j].y]);
        }
    }

    void load(device const float* heads, uint count, constant RopeArguments& args) thread {
        for (uint h = 0; h < COUNT; h++) {
            const uint head = min(h, count - 1) * args.head_dim;
            for (uint j = 0; j < HELD; j++) {
                if (INTERLEAVED) value[j][h] = *(device const float2*)(heads + (head + place[j].x));
                else value[j][h] = float2(heads[head + place[j].x], heads[head + place[j].y]);
            }
        }
    }

    // All lanes of the simdgroup.
    void norm(constant RopeArguments& args) thread {
        for (uint h = 0; h < COUNT; h++) {
            float squares = 0.0f;
            for (uint j = 0; j < HELD; j++) squares += held[j] ? dot(value[j][h], value[j][h]) : 0.0f;
            const float factor = precise::rsqrt(simd_sum(squares) / float(args.head_dim) + args.epsilon);
            for (uint j = 0; j < HELD; j++) value[j][h] = value[j][h] * (factor * (weights[j] + args.offset));
        }
    }

    void turn(float position, float magnitude) thread {
        for (uint j = 0; j < HELD; j++) {
            float cosine;
            const float sine = precise::sincos(position * frequency[j], cosine) * magnitude;
            cosine *= magnitude;
            for (uint h = 0; h < COUNT; h++) {
                const float a = value[j][h].x, b = value[j][h].y;
                if (turns[j]) value[j][h] = float2(a * cosine - b * sine, b * cosine + a * sine);
            }
        }
    }
};

// What a simdgroup works on.
struct Place {
    uint row, head;      // of the step, of the row
    bool has_row;        // behind the last row there is nothing to do
    uint lane;
};

template <bool INTERLEAVED, bool NORMED, uint HELD>
inline void turn_queries(device float* query, device const float* frequencies, device const float* weight, float position,
                         constant RopeArguments& args, Place place) {
    Pairs<INTERLEAVED, NORMED, HEADS, HELD> pairs;
    pairs.prepare(frequencies, weight, place.lane, args);
    const uint count = args.query_heads - place.head;
    device float* heads = query + (ulong(place.row) * args.query_heads + place.head) * args.head_dim;
    after_earlier_launches();
    if (!place.has_row || (!NORMED && !pairs.held[0])) return;
    pairs.load(heads, count, args);
    if (NORMED) {
        pairs.norm(args);
        if (args.head_dim < 64) simdgroup_barrier(mem_flags::mem_device);   // other lanes have read what this one writes
    }
    pairs.turn(position, args.magnitude);
    for (uint h = 0; h < HEADS; h++) {
        device float* head = heads + h * args.head_dim;
        for (uint j = 0; j < HELD; j++) {
            if (h >= count || !pairs.held[j] || !(NORMED || pairs.turns[j])) continue;
            if (INTERLEAVED) {
                ((device float2*)head)[pairs.place[j].x / 2] = pairs.value[j][h];
            } else {
                head[pairs.place[j].x] = pairs.value[j][h].x;
                head[pairs.place[j].y] = pairs.value[j][h].y;
            }
        }
    }
}

// Where a row's key goes: to threadgroup memory, to be stored with those of other rows, or if there are none to where it stays.
struct KeyPlace {
    threadgroup half* tile;
    device half* page;
    bool alone;

    void put(uint dim, half element) const thread {
        if (alone) page[dim * PAGE_TOKENS] = element;
        else tile[dim] = element;
    }
};

// The value goes to where it stays.
template <bool INTERLEAVED, bool NORMED, uint HELD>
inline void turn_key(device const float* key, device const float* value, KeyPlace key_to, device half* value_to,
                     device const float* frequencies, device const float* weight, float position,
                     constant RopeArguments& args, Place place) {
    Pairs<INTERLEAVED, NORMED, 1, HELD> pairs;
    pairs.prepare(frequencies, weight, place.lane, args);
    const ulong at = (ulong(place.row) * args.key_heads + place.head) * args.head_dim;
    // Quads of the value: half as many as pairs.
    const uint quads = args.head_dim / 4;
    float4 quad[HELD / 2];
    after_earlier_launches();
    if (!place.has_row) return;
    pairs.load(key + at, 1, args);
    for (uint j = 0; j < HELD / 2; j++) quad[j] = ((device const float4*)(value + at))[min(place.lane + 32 * j, quads - 1)];
    if (NORMED) pairs.norm(args);
    pairs.turn(position, args.magnitude);
    for (uint j = 0; j < HELD; j++) {
        if (!pairs.held[j]) continue;
        key_to.put(pairs.place[j].x, half(pairs.value[j][0].x));
        key_to.put(pairs.place[j].y, half(pairs.value[j][0].y));
    }
    for (uint j = 0; j < HELD / 2; j++) {
        if (place.lane + 32 * j < quads) ((device half4*)value_to)[place.lane + 32 * j] = half4(quad[j]);
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
    let_next_begin();   // attention asks for pages of earlier steps
    const uint first = group.x * simdgroups, rows = min(simdgroups, args.rows - first), dim = args.head_dim;
    const uint blocks = (args.query_heads + HEADS - 1) / HEADS, row = first + min(simdgroup, rows - 1);
    const float position = float(positions[row]);
    if (group.y < blocks) {   // a whole threadgroup
        const Place place = {row, group.y * HEADS, simdgroup < rows, lane};
        if (dim <= 128) turn_queries<INTERLEAVED, NORMED, 2>(query, frequencies, query_weight, position, args, place);
        else turn_queries<INTERLEAVED, NORMED, 4>(query, frequencies, query_weight, position, args, place);
        return;
    }
    const Place place = {row, group.y - blocks, simdgroup < rows, lane};
    const uint slot = slots[row], cell = args.layer_offset + place.head * 2 * PAGE_TOKENS * dim;
    device half* own_cell = pool + ulong(slot / PAGE_TOKENS) * args.page_stride + cell;
    device half* value_to = own_cell + (PAGE_TOKENS + slot % PAGE_TOKENS) * dim;
    const KeyPlace key_to = {tile + simdgroup * PADDED, own_cell + slot % PAGE_TOKENS, simdgroups == 1};
    TransposedRow keys;
    keys.find(pool, slots + first, rows, args.page_stride, cell, thread_id, 32 * simdgroups);
    if (dim <= 128)
        turn_key<INTERLEAVED, NORMED, 2>(key, value, key_to, value_to, frequencies, key_weight, position, args, place);
    else
        turn_key<INTERLEAVED, NORMED, 4>(key, value, key_to, value_to, frequencies, key_weight, position, args, place);
    if (simdgroups == 1) return;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    keys.store(tile, PADDED, dim);
}

template [[host_name("rope_halves")]] kernel decltype(rope_write<false, false>) rope_write<false, false>;
template [[host_name("rope_interleaved")]] kernel decltype(rope_write<true, false>) rope_write<true, false>;
template [[host_name("norm_rope_halves")]] kernel decltype(rope_write<false, true>) rope_write<false, true>;
template [[host_name("norm_rope_interleaved")]] kernel decltype(rope_write<true, true>) rope_write<true, true>;
