// Attention of head size 80 on a matrix unit that takes factors from registers: common/attention_registers.h and
// common/attention_prefill_registers.h say how.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/attention_registers.h"
#include "common/attention_prefill_registers.h"

template [[host_name("attention_registers_80")]] kernel decltype(attention_registers<80>) attention_registers<80>;
template [[host_name("attention_prefill_registers_80")]]
kernel decltype(attention_prefill_registers<80>) attention_prefill_registers<80>;
