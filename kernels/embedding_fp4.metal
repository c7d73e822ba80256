// Tables in four-bit floats: the embedding of tokens, and whole matrices as f16. embedding.metal says how.
#include <metal_stdlib>
#include "arguments.h"
using namespace metal;

#include "common/format_fp4.h"
#include "common/rows.h"

ROWS_KERNELS("mxfp4", FormatMXFP4)
ROWS_KERNELS("mxfp4_split", FormatMXFP4Split)
ROWS_KERNELS("nvfp4", FormatNVFP4)
