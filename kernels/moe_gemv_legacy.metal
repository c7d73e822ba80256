// A few rows times the matrices of their experts, for the legacy formats: see common/moe_gemv.h.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/moe_gemv.h"
#include "common/packet_legacy.h"
#include "common/format_q8.h"

MOE_GEMV("q8_0", PacketQ8_0)
MOE_GEMV("q4_0", PacketQ4_0)
MOE_GEMV("q4_1", GenericPacket<FormatQ4_1>)
MOE_GEMV("q5_0", GenericPacket<FormatQ5_0>)
MOE_GEMV("q5_1", GenericPacket<FormatQ5_1>)
MOE_GEMV("q8_1", GenericPacket<FormatQ8_1>)
