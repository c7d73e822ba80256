// Attention of the head sizes of very small models: common/attention_decode.h and common/attention_prefill.h say how.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/attention_decode.h"
#include "common/attention_prefill.h"

// Up to 4 query heads of a kv head at once: with so little to read, less is not faster.
template [[host_name("attention_decode_8_x4")]] kernel decltype(attention_decode<8, 4>) attention_decode<8, 4>;
template [[host_name("attention_decode_16_x4")]] kernel decltype(attention_decode<16, 4>) attention_decode<16, 4>;
template [[host_name("attention_decode_32_x4")]] kernel decltype(attention_decode<32, 4>) attention_decode<32, 4>;
template [[host_name("attention_prefill_8")]] kernel decltype(attention_prefill<8>) attention_prefill<8>;
template [[host_name("attention_prefill_16")]] kernel decltype(attention_prefill<16>) attention_prefill<16>;
template [[host_name("attention_prefill_32")]] kernel decltype(attention_prefill<32>) attention_prefill<32>;
