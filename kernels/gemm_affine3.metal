// Matrix times many rows in MLX's affine formats of 3 bits. gemm_plain.metal says how.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/format_affine.h"
#include "common/gemm.h"

AFFINE_FORMATS(GEMM_INSTANTIATE_FEW, FormatAffine, 3)
