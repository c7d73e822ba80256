// The addition of a block's output to the residual stream, where no norm follows that could do it on the way.
//
//   residual[i] += input[i] · scale
//
// Both are f32 [elements], of any number of rows. A thread adds one quad (four neighbours, 16-byte loads).
// Bytes: 8·elements read, 4·elements written. Numerics: with scale 1 one rounding, as the twin's.
// Twin: wootz_backend::cpu::reference::add.
#include <metal_stdlib>
#include "arguments.h"
using namespace metal;
#include "common/quads.h"

kernel void residual_add(
    device const float* input        [[buffer(0)]],
    device float* residual           [[buffer(1)]],
    constant ResidualArguments& args [[buffer(2)]],
    uint quad [[thread_position_in_grid]])
{
    if (quad >= quads_of(args.elements)) return;
    const float4 sum =
        load_quad(residual, quad, args.elements) + load_quad(input, quad, args.elements) * args.scale;
    store_quad(residual, quad, args.elements, sum);
}
