// Matrix times many rows in ternary formats. gemm_plain.metal says how.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/format_ternary.h"
#include "common/gemm.h"

GEMM_INSTANTIATE_FEW("tq1_0", FormatTQ1_0)
GEMM_INSTANTIATE_FEW("tq2_0", FormatTQ2_0)
