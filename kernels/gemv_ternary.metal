// Matrix times few rows, for ternary formats: see common/gemv.h and common/format_ternary.h.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/gemv.h"
#include "common/format_ternary.h"
#include "common/gemv_generic.h"

GEMV_INSTANTIATE_RARE("tq1_0", GenericPacket<FormatTQ1_0>)
GEMV_INSTANTIATE_RARE("tq2_0", GenericPacket<FormatTQ2_0>)
