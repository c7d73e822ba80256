// Products of four simdgroups together on Hopper's matrix unit (kernels/common/warpgroup.h), one 16x8 after the other. What
// the unit does while a kernel goes on is done here when it is asked for.
#pragma once

namespace metal {
template <uint blocks>
inline void msl_warpgroup_multiply(thread float4 (&sums)[blocks], thread const half2 (&a)[4][4], const threadgroup half* rows) {
    const uint g = msl_lane() / 4, t = msl_lane() % 4;
    for (uint k = 0; k < 4; k++) {
        for (uint b = 0; b < blocks; b++) {
            uint right[2];
            for (uint part = 0; part < 2; part++) {
                const uint n = 8 * b + g, piece = (2 * k + part) ^ (n & 7);
                right[part] = *(const threadgroup uint*)(rows + n * 64 + piece * 8 + 2 * t);
            }
            float2 upper = sums[b].xy, lower = sums[b].zw;
            msl_multiply_f16_16(upper, lower, as_type<uint>(a[k][0]), as_type<uint>(a[k][1]), as_type<uint>(a[k][2]), as_type<uint>(a[k][3]),
                                right[0], right[1]);
            sums[b] = float4(upper, lower);
        }
    }
}
inline void msl_warpgroup_publish() {}
inline void msl_warpgroup_wait_all_but_last() {}
inline void msl_warpgroup_wait() {}
}
