#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/format_legacy.h"
#include "common/gemm.h"

GEMM_INSTANTIATE("q8_0", FormatQ8_0)
GEMM_INSTANTIATE("q4_0", FormatQ4_0)
