// Decode attention of the head sizes of very small models: common/attention_decode.h says how.
#include <metal_stdlib>
#include "arguments.h"
#include "common/attention_decode.h"
using namespace metal;

// Up to 4 query heads of a kv head at once: with so little to read, less is not faster.
template [[host_name("attention_decode_8_x4")]] kernel decltype(attention_decode<8, 4>) attention_decode<8, 4>;
template [[host_name("attention_decode_16_x4")]] kernel decltype(attention_decode<16, 4>) attention_decode<16, 4>;
template [[host_name("attention_decode_32_x4")]] kernel decltype(attention_decode<32, 4>) attention_decode<32, 4>;
