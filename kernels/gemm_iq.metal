// Matrix times many rows in IQ formats. gemm_plain.metal says how.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/format_iq.h"
#include "common/gemm.h"

GEMM_INSTANTIATE_FEW("iq1_s", FormatIQ1_S)
GEMM_INSTANTIATE_FEW("iq1_m", FormatIQ1_M)
GEMM_INSTANTIATE_FEW("iq2_xxs", FormatIQ2_XXS)
GEMM_INSTANTIATE_FEW("iq2_xs", FormatIQ2_XS)
GEMM_INSTANTIATE_FEW("iq2_s", FormatIQ2_S)
GEMM_INSTANTIATE_FEW("iq3_xxs", FormatIQ3_XXS)
GEMM_INSTANTIATE_FEW("iq3_s", FormatIQ3_S)
GEMM_INSTANTIATE_FEW("iq4_nl", FormatIQ4_NL)
GEMM_INSTANTIATE_FEW("iq4_xs", FormatIQ4_XS)
