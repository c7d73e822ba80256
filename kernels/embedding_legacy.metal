// Tables in ggml's formats of 32 elements under one scale: the embedding of tokens, and whole matrices as f16. embedding.metal says how.
#include <metal_stdlib>
#include "arguments.h"
using namespace metal;

#include "common/format_legacy.h"
#include "common/format_q8.h"
#include "common/rows.h"

ROWS_KERNELS("q4_0", FormatQ4_0)
ROWS_KERNELS("q4_1", FormatQ4_1)
ROWS_KERNELS("q5_0", FormatQ5_0)
ROWS_KERNELS("q5_1", FormatQ5_1)
ROWS_KERNELS("q8_0", FormatQ8_0)
ROWS_KERNELS("q8_1", FormatQ8_1)
