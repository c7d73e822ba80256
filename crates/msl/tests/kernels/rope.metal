// A template with instances of host names, function constants, and one computed from another.
#include <metal_stdlib>
using namespace metal;

constant bool  halves    [[function_constant(0)]];
constant float base      [[function_constant(1)]];
constant bool  has_scale [[function_constant(2)]];
constant float factor = is_function_constant_defined(base) ? 1.0 : 0.0;

struct RopeArguments {
    uint heads, head_size, rotated;
    int first_position;
};

template <typename T>
kernel void rope(
    device T*               x     [[buffer(0)]],
    constant RopeArguments& args  [[buffer(1)]],
    device const float*     scale [[buffer(2), function_constant(has_scale)]],
    uint3 place [[thread_position_in_grid]])      // (pair, head, token)
{
    if (place.x >= args.rotated / 2) return;
    float frequency = exp2(-2.0f * float(place.x) / float(args.rotated) * log2(base)) * factor;
    if (has_scale) frequency *= scale[place.x];
    float cosine;
    const float sine = sincos(float(args.first_position + int(place.z)) * frequency, cosine);
    device T* head = x + (place.z * args.heads + place.y) * args.head_size;
    const uint first = halves ? place.x : 2 * place.x;
    const uint second = halves ? place.x + args.rotated / 2 : first + 1;
    const float a = float(head[first]), b = float(head[second]);
    head[first] = T(a * cosine - b * sine);
    head[second] = T(a * sine + b * cosine);
}

#define INSTANCE(name, T) \
    template [[host_name(name)]] kernel void rope<T>(device T*, constant RopeArguments&, device const float*, uint3);
INSTANCE("rope_" "f32", float)
INSTANCE("rope_f16", half)
template [[host_name("rope_bf16")]] kernel decltype(rope<bfloat>) rope<bfloat>;
