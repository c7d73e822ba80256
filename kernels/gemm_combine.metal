// The parts of a matrix product that was split over its columns (split-K), added up.
//
//   out[m, n] = ((part 0 + part 1) + part 2) + … (+ bias[n])
//
// One thread an output. Parts are added in order, so the same split gives the same bits every time; another split, or
// none, gives others, since a sum's bits depend on where it is cut. Reads 4 · parts and writes 4 bytes an output.
// Twin: wootz_backend::cpu::reference::linear.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/joint_rows.h"

kernel void gemm_combine(
    device const float* partial           [[buffer(0)]],   // [parts, rows, outputs]
    device const float* bias              [[buffer(1)]],   // [outputs], where args.has_bias
    device float* out                     [[buffer(2)]],   // [rows, outputs], of the first matrix where there are several
    device float* second                  [[buffer(3)]],   // of the second: common/joint_rows.h
    device float* third                   [[buffer(4)]],   // of the third
    constant CombineArguments& args       [[buffer(5)]],
    uint2 position [[thread_position_in_grid]])
{
    const uint output = position.x;
    if (output >= args.outputs) return;
    const ulong place = ulong(position.y) * args.outputs + output, part = ulong(args.rows) * args.outputs;
    float sum = partial[place];
    for (uint z = 1; z < args.parts; z++) sum += partial[z * part + place];
    const JointPart results = joint_part({ out, second, third }, joint_shape(args), output);
    *results.at(position.y, output) = args.has_bias != 0 ? sum + bias[output] : sum;
}
