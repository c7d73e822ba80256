// Matrix times few rows on the matrix unit, for the plain formats: see common/gemm_skinny.h and common/skinny_plain.h.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/skinny_plain.h"

GEMM_SKINNY("f16", SkinnyF16)
