// Matrix times many rows in four-bit floats. gemm_plain.metal says how.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/format_fp4.h"
#include "common/gemm.h"

GEMM_INSTANTIATE("mxfp4", FormatMXFP4)
GEMM_INSTANTIATE("mxfp4_split", FormatMXFP4Split)
GEMM_INSTANTIATE_FEW("nvfp4", FormatNVFP4)
