// 256 weights of four bits, in eight parts that each have a scale and a minimum of six bits.
#pragma once

typedef struct {
    half d;
    half minimum;
    uchar scales[12];
    uchar quants[128];
} Block;
static_assert(sizeof(Block) == 144, "the block's size on disk");

static inline uchar2 scale_and_minimum(uint part, device const uchar* scales) {
    const uint high = part - 4;
    if (part < 4) return uchar2(scales[part] & 63, scales[part + 4] & 63);
    return uchar2((scales[part + 4] & 0xf) | ((scales[high] >> 6) << 4), (scales[part + 4] >> 4) | ((scales[part] >> 6) << 4));
}
