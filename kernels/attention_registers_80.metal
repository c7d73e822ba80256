// Attention of head size 80 on a matrix unit that takes factors from registers: common/attention_registers.h says how.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/attention_registers.h"

template [[host_name("attention_registers_80")]] kernel decltype(attention_registers<80>) attention_registers<80>;
