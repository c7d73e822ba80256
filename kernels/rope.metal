// Rotary position embedding, in place, of q and k in one launch.
//
// Pair p of a head turns by angle = position · frequency[p]:
//
//   x' = x·cos - y·sin,   y' = y·cos + x·sin     (cos and sin times `magnitude`)
//
//   rope_halves       x, y = head[p], head[p + pairs]        rope_interleaved  x, y = head[2p], head[2p + 1]
//
// Elements of a head after 2·pairs are left alone. Every way of stretching contexts (linear, Llama 3.1, YaRN, a
// checkpoint's own factors) is in the frequencies, which are computed once at load: wootz_spec::Rope::rotation.
//
// Shapes: query f32 [rows, query_heads, head_dim], key f32 [rows, key_heads, head_dim], frequencies f32 [pairs].
//
// Thread map: a thread turns one pair of HEADS neighbouring heads, so that a sine and a cosine serve them all.
// Neighbouring lanes have neighbouring pairs: loads are contiguous, 128 bytes a simdgroup.
//
//   linear thread index = (row · head_groups + head_group) · pairs + pair
//
// Bytes: 8·rows·(query_heads + key_heads)·2·pairs, read and written together. FLOPs: 6 a pair and head.
//
// Numerics: the angle is the f32 product of the position and an f32 frequency, as in Transformers and in the twin; at
// position 100,000 another rounding would be visible. precise::sin and precise::cos hold within 4 units in the last
// place over all of f32 (Metal Shading Language, section 8.2); the fast ones only within ±π, and are of no use here.
// Neither does the number of heads per thread change a result.
//
// Twin: wootz_backend::cpu::reference::rope.
#include <metal_stdlib>
#include "arguments.h"
using namespace metal;

// Heads that a thread turns.
constant constexpr uint HEADS = 4;

template <bool INTERLEAVED>
kernel void rope(
    device float* query              [[buffer(0)]],
    device float* key                [[buffer(1)]],
    device const float* frequencies  [[buffer(2)]],
    device const uint* positions     [[buffer(3)]],   // [rows]
    constant RopeArguments& args     [[buffer(4)]],
    uint index [[thread_position_in_grid]])
{
    const uint heads = args.query_heads + args.key_heads;
    const uint groups = (heads + HEADS - 1) / HEADS;
    const uint pair = index % args.pairs;
    const uint group = index / args.pairs % groups;
    const uint row = index / args.pairs / groups;
    if (row >= args.rows) return;

    const float angle = float(positions[row]) * frequencies[pair];
    const float sine = precise::sin(angle) * args.magnitude;
    const float cosine = precise::cos(angle) * args.magnitude;
    const uint first = INTERLEAVED ? 2 * pair : pair;
    const uint second = INTERLEAVED ? 2 * pair + 1 : pair + args.pairs;
    for (uint head = group * HEADS; head < min(heads, group * HEADS + HEADS); head++) {
        device float* x = query + (ulong(row) * args.query_heads + head) * args.head_dim;
        if (head >= args.query_heads) {
            x = key + (ulong(row) * args.key_heads + (head - args.query_heads)) * args.head_dim;
        }
        const float a = x[first];
        const float b = x[second];
        x[first] = a * cosine - b * sine;
        x[second] = b * cosine + a * sine;
    }
}

template [[host_name("rope_halves")]] kernel decltype(rope<false>) rope<false>;
template [[host_name("rope_interleaved")]] kernel decltype(rope<true>) rope<true>;
