// Matrix times few rows, for the plain formats: see common/gemv.h and common/packet_plain.h.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/gemv.h"
#include "common/packet_plain.h"

GEMV_INSTANTIATE("f32", PacketF32)
GEMV_INSTANTIATE("f16", PacketF16)
GEMV_INSTANTIATE("bf16", PacketBF16)
GEMV_INSTANTIATE("loose_f32", LoosePacket<FormatF32>)
GEMV_INSTANTIATE("loose_f16", LoosePacket<FormatF16>)
GEMV_INSTANTIATE("loose_bf16", LoosePacket<FormatBF16>)
