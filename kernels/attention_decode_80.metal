// Decode attention of head size 80: common/attention_decode.h says how. One file a head size, because a model has one.
#include <metal_stdlib>
#include "arguments.h"
#include "common/attention_decode.h"
using namespace metal;

// Up to 1, 2, 4 or 8 query heads of a kv head at once.
template [[host_name("attention_decode_80_x1")]] kernel decltype(attention_decode<80, 1>) attention_decode<80, 1>;
template [[host_name("attention_decode_80_x2")]] kernel decltype(attention_decode<80, 2>) attention_decode<80, 2>;
template [[host_name("attention_decode_80_x4")]] kernel decltype(attention_decode<80, 4>) attention_decode<80, 4>;
template [[host_name("attention_decode_80_x8")]] kernel decltype(attention_decode<80, 8>) attention_decode<80, 8>;
