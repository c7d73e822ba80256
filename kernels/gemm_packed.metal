// Packed matrices times rows on NVIDIA's matrix unit: see common/gemm_packed.h for up to 16 rows, common/gemm_staged.h for more.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/gemm_packed.h"
#include "common/gemm_staged.h"

#define ENTRY(entry, kernel_name, ...)                                                                                  \
    template [[host_name(entry)]] kernel decltype(kernel_name<__VA_ARGS__>) kernel_name<__VA_ARGS__>;

#define GEMM_PACKED(name, Packing)                                                                                      \
    ENTRY("gemm_packed8_" name, gemm_packed, Packing, 1, Packing::AHEAD)                                                \
    ENTRY("gemm_packed16_" name, gemm_packed, Packing, 2, 2)                                                            \
    ENTRY("gemm_staged32_" name, gemm_staged, Packing, 4)                                                               \
    ENTRY("gemm_staged64_" name, gemm_staged, Packing, 8)

GEMM_PACKED("nibbles", PackedNibbles)
GEMM_PACKED("five_bits", PackedFiveBits)
GEMM_PACKED("six_bits", PackedSixBits)
GEMM_PACKED("bytes", PackedBytes)
GEMM_PACKED("halves", PackedHalves)
