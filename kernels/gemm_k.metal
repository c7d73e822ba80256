#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/format_k.h"
#include "common/gemm.h"

GEMM_INSTANTIATE("q4_k", FormatQ4_K)
GEMM_INSTANTIATE("q5_k", FormatQ5_K)
GEMM_INSTANTIATE("q6_k", FormatQ6_K)
