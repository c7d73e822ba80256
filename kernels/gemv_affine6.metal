// Matrix times few rows, for MLX's affine formats of 6 bits: see common/gemv.h and common/packet_affine.h.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/gemv.h"
#include "common/packet_affine.h"

AFFINE_FORMATS(GEMV_INSTANTIATE_RARE, PacketAffine, 6)
