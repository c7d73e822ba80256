// Matrix times few rows on the matrix unit, for the k formats: see common/gemm_skinny.h and common/skinny_k.h.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/skinny_k.h"

GEMM_SKINNY("q4_k", SkinnyQ4_K)
GEMM_SKINNY("q5_k", SkinnyQ5_K)
GEMM_SKINNY("q6_k", SkinnyQ6_K)
