// Tables in eight-bit floats: the embedding of tokens, and whole matrices as f16. embedding.metal says how.
#include <metal_stdlib>
#include "arguments.h"
using namespace metal;

#include "common/format_fp8.h"
#include "common/rows.h"

ROWS_KERNELS("fp8_e4m3_row", FormatE4M3Row)
ROWS_KERNELS("fp8_e4m3_block128", FormatE4M3Square)
ROWS_KERNELS("fp8_e5m2_row", FormatE5M2Row)
ROWS_KERNELS("fp8_e5m2_block128", FormatE5M2Square)
