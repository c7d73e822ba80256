// Matrix times few rows, for NF4: see common/gemv.h and common/format_nf4.h.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/gemv.h"
#include "common/format_nf4.h"
#include "common/gemv_generic.h"

GEMV_INSTANTIATE_RARE("nf4_64", GenericPacket<FormatNF4>)
