// Matrix times few rows, for the k formats: see common/gemv.h and common/packet_k.h.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/gemv.h"
#include "common/packet_k.h"
#include "common/format_q8.h"

GEMV_INSTANTIATE("q4_k", PacketQ4_K)
GEMV_INSTANTIATE("q5_k", PacketQ5_K)
GEMV_INSTANTIATE("q6_k", PacketQ6_K)
GEMV_INSTANTIATE_RARE("q2_k", GenericPacket<FormatQ2_K>)
GEMV_INSTANTIATE_RARE("q3_k", GenericPacket<FormatQ3_K>)
GEMV_INSTANTIATE_RARE("q8_k", GenericPacket<FormatQ8_K>)
