// Attention of head size 96 on a matrix unit that takes factors from registers: common/attention_registers.h and
// common/attention_prefill_registers.h say how.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/attention_registers.h"
#include "common/attention_prefill_registers.h"

template [[host_name("attention_registers_96")]] kernel decltype(attention_registers<96>) attention_registers<96>;
template [[host_name("attention_prefill_registers_96")]]
kernel decltype(attention_prefill_registers<96>) attention_prefill_registers<96>;
