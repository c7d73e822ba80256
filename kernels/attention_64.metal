// Attention of head size 64 over pages: common/attention_decode.h and common/attention_prefill.h say how. One file a head
// size, because a model has one.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/attention_decode.h"
#include "common/attention_prefill.h"

// Up to 1, 2, 4 or 8 query heads of a kv head at once.
template [[host_name("attention_decode_64_x1")]] kernel decltype(attention_decode<64, 1>) attention_decode<64, 1>;
template [[host_name("attention_decode_64_x2")]] kernel decltype(attention_decode<64, 2>) attention_decode<64, 2>;
template [[host_name("attention_decode_64_x4")]] kernel decltype(attention_decode<64, 4>) attention_decode<64, 4>;
template [[host_name("attention_decode_64_x8")]] kernel decltype(attention_decode<64, 8>) attention_decode<64, 8>;
template [[host_name("attention_prefill_64")]] kernel decltype(attention_prefill<64>) attention_prefill<64>;
