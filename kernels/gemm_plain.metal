#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/format_plain.h"
#include "common/gemm.h"

GEMM_INSTANTIATE_AS("f32", FormatF32, float)
GEMM_INSTANTIATE("f16", FormatF16)
GEMM_INSTANTIATE("bf16", FormatBF16)
