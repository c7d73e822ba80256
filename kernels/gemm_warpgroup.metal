// Packed matrices times 17 to 64 rows on the matrix unit of NVIDIA's Hopper: see common/gemm_warpgroup.h.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/gemm_warpgroup.h"

#define GEMM_WARPGROUP(name, Packing) ENTRY("gemm_warpgroup_" name, gemm_warpgroup, Packing)

GEMM_WARPGROUP("nibbles", PackedNibbles)
GEMM_WARPGROUP("five_bits", PackedFiveBits)
GEMM_WARPGROUP("six_bits", PackedSixBits)
GEMM_WARPGROUP("bytes", PackedBytes)
GEMM_WARPGROUP("halves", PackedHalves)
