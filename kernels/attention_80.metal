// Attention of head size 80 over pages: common/attention_decode.h and common/attention_prefill.h say how. One file a head
// size, because a model has one.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/attention_decode.h"
#include "common/attention_prefill.h"

// Up to 1, 2, 4 or 8 query heads of a kv head at once.
template [[host_name("attention_decode_80_x1")]] kernel decltype(attention_decode<80, 1>) attention_decode<80, 1>;
template [[host_name("attention_decode_80_x2")]] kernel decltype(attention_decode<80, 2>) attention_decode<80, 2>;
template [[host_name("attention_decode_80_x4")]] kernel decltype(attention_decode<80, 4>) attention_decode<80, 4>;
template [[host_name("attention_decode_80_x8")]] kernel decltype(attention_decode<80, 8>) attention_decode<80, 8>;
template [[host_name("attention_prefill_80")]] kernel decltype(attention_prefill<80>) attention_prefill<80>;
