// Matrix times few rows, for four-bit floats: see common/gemv.h and common/packet_fp4.h.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/gemv.h"
#include "common/packet_fp4.h"

GEMV_INSTANTIATE("mxfp4", PacketMXFP4)
GEMV_INSTANTIATE("mxfp4_split", PacketMXFP4Split)
GEMV_INSTANTIATE_RARE("nvfp4", GenericPacket<FormatNVFP4>)
