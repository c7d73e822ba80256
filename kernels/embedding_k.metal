// Tables in K-quants: the embedding of tokens, and whole matrices as f16. embedding.metal says how.
#include <metal_stdlib>
#include "arguments.h"
using namespace metal;

#include "common/format_k.h"
#include "common/format_q8.h"
#include "common/rows.h"

ROWS_KERNELS("q2_k", FormatQ2_K)
ROWS_KERNELS("q3_k", FormatQ3_K)
ROWS_KERNELS("q4_k", FormatQ4_K)
ROWS_KERNELS("q5_k", FormatQ5_K)
ROWS_KERNELS("q6_k", FormatQ6_K)
ROWS_KERNELS("q8_k", FormatQ8_K)
