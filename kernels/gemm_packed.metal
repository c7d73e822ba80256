// Packed matrices times rows on NVIDIA's matrix unit: see common/gemm_packed.h for up to 16 rows, common/gemm_staged.h for more.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/gemm_packed.h"
#include "common/gemm_staged.h"

// Tiles and stages of up to 8 rows, and of 16: what the registers hold.
#define GEMM_PACKED(name, Packing, tiles8, stages8, tiles16, stages16)                                                  \
    ENTRY("gemm_packed1_" name, gemm_packed, Packing, 1, tiles8, stages8)                                               \
    ENTRY("gemm_packed8_" name, gemm_packed, Packing, 8, tiles8, stages8)                                               \
    ENTRY("gemm_packed16_" name, gemm_packed, Packing, 16, tiles16, stages16)                                           \
    ENTRY("gemm_staged32_" name, gemm_staged, Packing, 4)                                                               \
    ENTRY("gemm_staged64_" name, gemm_staged, Packing, 8)

GEMM_PACKED("nibbles", PackedNibbles, 1, 2, 2, 1)
GEMM_PACKED("five_bits", PackedFiveBits, 1, 2, 2, 1)
GEMM_PACKED("six_bits", PackedSixBits, 1, 2, 2, 1)
GEMM_PACKED("bytes", PackedBytes, 1, 2, 2, 1)
GEMM_PACKED("halves", PackedHalves, 2, 1, 1, 1)
