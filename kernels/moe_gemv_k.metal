// A few rows times the matrices of their experts, for the k formats: see common/moe_gemv.h.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/moe_gemv.h"
#include "common/packet_k.h"
#include "common/format_q8.h"

MOE_GEMV("q4_k", PacketQ4_K)
MOE_GEMV("q5_k", PacketQ5_K)
MOE_GEMV("q6_k", PacketQ6_K)
MOE_GEMV("q2_k", GenericPacket<FormatQ2_K>)
MOE_GEMV("q3_k", GenericPacket<FormatQ3_K>)
MOE_GEMV("q8_k", GenericPacket<FormatQ8_K>)
