// Tables in NF4: the embedding of tokens, and whole matrices as f16. embedding.metal says how.
#include <metal_stdlib>
#include "arguments.h"
using namespace metal;

#include "common/format_nf4.h"
#include "common/rows.h"

ROWS_KERNELS("nf4_64", FormatNF4)
