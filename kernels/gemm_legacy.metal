// Matrix times many rows in blocks of 32. gemm_plain.metal says how.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/format_legacy.h"
#include "common/format_q8.h"
#include "common/gemm.h"

GEMM_INSTANTIATE("q8_0", FormatQ8_0)
GEMM_INSTANTIATE("q4_0", FormatQ4_0)
GEMM_INSTANTIATE_FEW("q4_1", FormatQ4_1)
GEMM_INSTANTIATE_FEW("q5_0", FormatQ5_0)
GEMM_INSTANTIATE_FEW("q5_1", FormatQ5_1)
GEMM_INSTANTIATE_FEW("q8_1", FormatQ8_1)
