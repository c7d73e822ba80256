// Matrix times few rows, for the legacy formats: see common/gemv.h and common/packet_legacy.h.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/gemv.h"
#include "common/packet_legacy.h"
#include "common/format_q8.h"

GEMV_INSTANTIATE("q8_0", PacketQ8_0)
GEMV_INSTANTIATE("q4_0", PacketQ4_0)
GEMV_INSTANTIATE_RARE("q4_1", GenericPacket<FormatQ4_1>)
GEMV_INSTANTIATE_RARE("q5_0", GenericPacket<FormatQ5_0>)
GEMV_INSTANTIATE_RARE("q5_1", GenericPacket<FormatQ5_1>)
GEMV_INSTANTIATE_RARE("q8_1", GenericPacket<FormatQ8_1>)
