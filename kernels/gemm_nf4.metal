// Matrix times many rows in NF4. gemm_plain.metal says how.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/format_nf4.h"
#include "common/gemm.h"

GEMM_INSTANTIATE_FEW("nf4_64", FormatNF4)
