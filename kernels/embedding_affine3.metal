// Tables in MLX's affine formats of 3 bits: the embedding of tokens, and whole matrices as f16. embedding.metal says how.
#include <metal_stdlib>
#include "arguments.h"
using namespace metal;

#include "common/format_affine.h"
#include "common/rows.h"

AFFINE_FORMATS(ROWS_KERNELS, FormatAffine, 3)
