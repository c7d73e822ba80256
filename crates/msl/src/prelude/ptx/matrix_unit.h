// The matrix unit's instructions, for kernels/common/tile_mma.h: one function each. Which lane holds what: "Matrix
// fragments for mma.m16n8k16" and its neighbours in the PTX manual; a pair of 16-bit numbers is a word.
#pragma once

namespace metal {
#define MSL_MULTIPLY_16(name, type)                                                                                   \
    inline void name(thread float2& upper, thread float2& lower, uint a0, uint a1, uint a2, uint a3, uint b0, uint b1) { \
        float s0 = upper.x, s1 = upper.y, s2 = lower.x, s3 = lower.y;                                                 \
        asm("mma.sync.aligned.m16n8k16.row.col.f32." type "." type ".f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" \
            : "+f"(s0), "+f"(s1), "+f"(s2), "+f"(s3) : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));         \
        upper = float2(s0, s1);                                                                                       \
        lower = float2(s2, s3);                                                                                       \
    }
#define MSL_MULTIPLY_8(name, type)                                                                                    \
    inline void name(thread float2& upper, thread float2& lower, uint a0, uint a1, uint b0) {                         \
        float s0 = upper.x, s1 = upper.y, s2 = lower.x, s3 = lower.y;                                                 \
        asm("mma.sync.aligned.m16n8k8.row.col.f32." type "." type ".f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};" \
            : "+f"(s0), "+f"(s1), "+f"(s2), "+f"(s3) : "r"(a0), "r"(a1), "r"(b0));                                    \
        upper = float2(s0, s1);                                                                                       \
        lower = float2(s2, s3);                                                                                       \
    }
MSL_MULTIPLY_16(msl_multiply_f16_16, "f16")
MSL_MULTIPLY_16(msl_multiply_bf16_16, "bf16")
MSL_MULTIPLY_8(msl_multiply_f16_8, "f16")
MSL_MULTIPLY_8(msl_multiply_bf16_8, "bf16")
#undef MSL_MULTIPLY_16
#undef MSL_MULTIPLY_8

// Of tf32, lane l holds steps l % 4 and l % 4 + 4 of the depth; ours holds 2 (l % 4) and the next, of both factors.
inline void msl_multiply_tf32_8(thread float2& upper, thread float2& lower, float2 a0, float2 a1, float2 b0) {
    float s0 = upper.x, s1 = upper.y, s2 = lower.x, s3 = lower.y;
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(s0), "+f"(s1), "+f"(s2), "+f"(s3)
        : "r"(__builtin_bit_cast(uint, (float)a0.x)), "r"(__builtin_bit_cast(uint, (float)a1.x)), "r"(__builtin_bit_cast(uint, (float)a0.y)),
          "r"(__builtin_bit_cast(uint, (float)a1.y)), "r"(__builtin_bit_cast(uint, (float)b0.x)), "r"(__builtin_bit_cast(uint, (float)b0.y)));
    upper = float2(s0, s1);
    lower = float2(s2, s3);
}

// Blocks of 8x8 16-bit numbers from threadgroup memory; lane l names the beginning of row l % 8 of block l / 8.
inline uint4 msl_load_blocks4(const threadgroup half* row) {
    uint w0, w1, w2, w3;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(w0), "=r"(w1), "=r"(w2), "=r"(w3) : "r"((uint)(ulong)row) : "memory");
    return uint4(w0, w1, w2, w3);
}
// The same blocks, handed out as if they lay transposed.
inline uint4 msl_load_blocks4_transposed(const threadgroup half* row) {
    uint w0, w1, w2, w3;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(w0), "=r"(w1), "=r"(w2), "=r"(w3) : "r"((uint)(ulong)row) : "memory");
    return uint4(w0, w1, w2, w3);
}
inline uint2 msl_load_blocks2(const threadgroup half* row) {
    uint w0, w1;
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];" : "=r"(w0), "=r"(w1) : "r"((uint)(ulong)row) : "memory");
    return uint2(w0, w1);
}
// A block, held by rows, as it is held by columns.
inline uint msl_transpose_block(uint word) {
    uint transposed;
    asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(transposed) : "r"(word));
    return transposed;
}
}
