// A few rows times the matrices of their experts, for the plain formats: see common/moe_gemv.h.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/moe_gemv.h"
#include "common/packet_plain.h"

MOE_GEMV("f32", PacketF32)
MOE_GEMV("f16", PacketF16)
MOE_GEMV("bf16", PacketBF16)
MOE_GEMV("loose_f32", LoosePacket<FormatF32>)
MOE_GEMV("loose_f16", LoosePacket<FormatF16>)
MOE_GEMV("loose_bf16", LoosePacket<FormatBF16>)
