// Tables in IQ formats: the embedding of tokens, and whole matrices as f16. embedding.metal says how.
#include <metal_stdlib>
#include "arguments.h"
using namespace metal;

#include "common/format_iq.h"
#include "common/rows.h"

ROWS_KERNELS("iq1_s", FormatIQ1_S)
ROWS_KERNELS("iq1_m", FormatIQ1_M)
ROWS_KERNELS("iq2_xxs", FormatIQ2_XXS)
ROWS_KERNELS("iq2_xs", FormatIQ2_XS)
ROWS_KERNELS("iq2_s", FormatIQ2_S)
ROWS_KERNELS("iq3_xxs", FormatIQ3_XXS)
ROWS_KERNELS("iq3_s", FormatIQ3_S)
ROWS_KERNELS("iq4_nl", FormatIQ4_NL)
ROWS_KERNELS("iq4_xs", FormatIQ4_XS)
