// Matrix times few rows on the matrix unit, for the legacy formats: see common/gemm_skinny.h and common/skinny_legacy.h.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/skinny_legacy.h"

GEMM_SKINNY("q8_0", SkinnyQ8_0)
