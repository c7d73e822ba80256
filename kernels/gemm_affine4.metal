// Matrix times many rows in MLX's affine formats of 4 bits; groups of 64 are the usual ones. gemm_plain.metal says how.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/format_affine.h"
#include "common/gemm.h"

AFFINE_FORMAT(GEMM_INSTANTIATE_FEW, FormatAffine, 4, 32, "f16", ScaleF16)
AFFINE_FORMAT(GEMM_INSTANTIATE, FormatAffine, 4, 64, "f16", ScaleF16)
AFFINE_FORMAT(GEMM_INSTANTIATE_FEW, FormatAffine, 4, 128, "f16", ScaleF16)
AFFINE_FORMAT(GEMM_INSTANTIATE_FEW, FormatAffine, 4, 32, "bf16", ScaleBF16)
AFFINE_FORMAT(GEMM_INSTANTIATE, FormatAffine, 4, 64, "bf16", ScaleBF16)
AFFINE_FORMAT(GEMM_INSTANTIATE_FEW, FormatAffine, 4, 128, "bf16", ScaleBF16)
