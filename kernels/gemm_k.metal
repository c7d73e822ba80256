// Matrix times many rows in K-quants. gemm_plain.metal says how.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/format_k.h"
#include "common/format_q8.h"
#include "common/gemm.h"

GEMM_INSTANTIATE("q4_k", FormatQ4_K)
GEMM_INSTANTIATE("q5_k", FormatQ5_K)
GEMM_INSTANTIATE("q6_k", FormatQ6_K)
GEMM_INSTANTIATE_FEW("q2_k", FormatQ2_K)
GEMM_INSTANTIATE_FEW("q3_k", FormatQ3_K)
GEMM_INSTANTIATE_FEW("q8_k", FormatQ8_K)
