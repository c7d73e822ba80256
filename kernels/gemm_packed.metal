// Packed matrices times rows on NVIDIA's matrix unit: see common/gemm_packed.h.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/gemm_packed.h"

GEMM_PACKED("nibbles", PackedNibbles)
GEMM_PACKED("five_bits", PackedFiveBits)
GEMM_PACKED("six_bits", PackedSixBits)
GEMM_PACKED("bytes", PackedBytes)
GEMM_PACKED("halves", PackedHalves)
