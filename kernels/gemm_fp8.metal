// Matrix times many rows in eight-bit floats. gemm_plain.metal says how.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/format_fp8.h"
#include "common/gemm.h"

GEMM_INSTANTIATE_FEW("fp8_e4m3_row", FormatE4M3Row)
GEMM_INSTANTIATE_FEW("fp8_e4m3_block128", FormatE4M3Square)
GEMM_INSTANTIATE_FEW("fp8_e5m2_row", FormatE5M2Row)
GEMM_INSTANTIATE_FEW("fp8_e5m2_block128", FormatE5M2Square)
