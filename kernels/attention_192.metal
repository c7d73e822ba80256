// Attention of head size 192 over pages: common/attention_decode.h and common/attention_prefill.h say how. One file a head
// size, because a model has one.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/attention_decode.h"
#include "common/attention_prefill.h"

// Up to 1, 2, 4 or 8 query heads of a kv head at once.
template [[host_name("attention_decode_192_x1")]] kernel decltype(attention_decode<192, 1>) attention_decode<192, 1>;
template [[host_name("attention_decode_192_x2")]] kernel decltype(attention_decode<192, 2>) attention_decode<192, 2>;
template [[host_name("attention_decode_192_x4")]] kernel decltype(attention_decode<192, 4>) attention_decode<192, 4>;
template [[host_name("attention_decode_192_x8")]] kernel decltype(attention_decode<192, 8>) attention_decode<192, 8>;
template [[host_name("attention_prefill_192")]] kernel decltype(attention_prefill<192>) attention_prefill<192>;
