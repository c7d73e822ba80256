// A few rows times the matrices of their experts, for MLX's affine formats of 4 bits: see common/moe_gemv.h.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/moe_gemv.h"
#include "common/gemv_generic.h"
#include "common/format_affine.h"

typedef GenericPacket<FormatAffine<4, 32, ScaleF16>> Packet32_F16;
typedef GenericPacket<FormatAffine<4, 64, ScaleF16>> Packet64_F16;
typedef GenericPacket<FormatAffine<4, 128, ScaleF16>> Packet128_F16;
typedef GenericPacket<FormatAffine<4, 32, ScaleBF16>> Packet32_BF16;
typedef GenericPacket<FormatAffine<4, 64, ScaleBF16>> Packet64_BF16;
typedef GenericPacket<FormatAffine<4, 128, ScaleBF16>> Packet128_BF16;

MOE_GEMV("affine4_32_f16", Packet32_F16)
MOE_GEMV("affine4_64_f16", Packet64_F16)
MOE_GEMV("affine4_128_f16", Packet128_F16)
MOE_GEMV("affine4_32_bf16", Packet32_BF16)
MOE_GEMV("affine4_64_bf16", Packet64_BF16)
MOE_GEMV("affine4_128_bf16", Packet128_BF16)
