// A few rows times the matrices of their experts, for four-bit floats: see common/moe_gemv.h.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/moe_gemv.h"
#include "common/gemv_generic.h"
#include "common/format_fp4.h"

MOE_GEMV("mxfp4", GenericPacket<FormatMXFP4>)
MOE_GEMV("mxfp4_split", GenericPacket<FormatMXFP4Split>)
MOE_GEMV("nvfp4", GenericPacket<FormatNVFP4>)
