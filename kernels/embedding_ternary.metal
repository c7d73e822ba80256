// Tables in ternary formats: the embedding of tokens, and whole matrices as f16. embedding.metal says how.
#include <metal_stdlib>
#include "arguments.h"
using namespace metal;

#include "common/format_ternary.h"
#include "common/rows.h"

ROWS_KERNELS("tq1_0", FormatTQ1_0)
ROWS_KERNELS("tq2_0", FormatTQ2_0)
