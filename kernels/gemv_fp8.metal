// Matrix times few rows, for eight-bit floats: see common/gemv.h and common/packet_fp8.h.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/gemv.h"
#include "common/packet_fp8.h"

GEMV_INSTANTIATE_RARE("fp8_e4m3_row", PacketE4M3Row)
GEMV_INSTANTIATE_RARE("fp8_e4m3_block128", PacketE4M3Square)
GEMV_INSTANTIATE_RARE("fp8_e5m2_row", PacketE5M2Row)
GEMV_INSTANTIATE_RARE("fp8_e5m2_block128", PacketE5M2Square)
