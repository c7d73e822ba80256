// Rows as f16 for a matrix unit or library, each multiplied with a power of two: gemm_system.metal says why.
#pragma once
#include "common/quads.h"
#include "common/team.h"

constant constexpr float HALF_LEAST = 0.0625f, HALF_GREATEST = 32768.0f;

// The power for a row whose greatest magnitude is `most`: 2^14 / 2^(exponent of the greatest), so that it comes to lie between
// 2^14 and 2^15, or 1 where that is near enough. f16 ends at 65,504, so that `most` may be off by a few roundings. An infinity
// stays one. Below 2^-112 the power itself would be too large: 2^127 it is.
inline float half_scale(float most) {
    const uint exponent = as_type<uint>(most) >> 23;
    const bool fits = (most >= HALF_LEAST && most <= HALF_GREATEST) || most == 0.0f || exponent == 255u;
    return fits ? 1.0f : as_type<float>(min(127u + 14u + 127u - exponent, 254u) << 23);
}

inline float greatest_of(float4 x) {
    const float4 magnitude = abs(x);
    return max(max(magnitude.x, magnitude.y), max(magnitude.z, magnitude.w));
}

// As at_vector, for 8 bytes.
inline bool at_half_vector(device const half* place) {
#ifdef MSL_PTX
    return ((ulong)place & 7) == 0;
#else
    return false;
#endif
}

// WHOLE: in vectors from the row's beginning to its end.
template <bool WHOLE = false>
inline void store_half_quad(device half* row, uint quad, uint width, float4 value) {
    const uint first = 4 * quad;
    const half4 rounded = half4(value);
    if (WHOLE || (first + 4 <= width && at_half_vector(row + first))) {
        *reinterpret_cast<device half4*>(row + first) = rounded;
        return;
    }
    if (first + 4 <= width) {
        *reinterpret_cast<device packed_half4*>(row + first) = packed_half4(rounded);
        return;
    }
    if (first < width) row[first] = rounded.x;
    if (first + 1 < width) row[first + 1] = rounded.y;
    if (first + 2 < width) row[first + 2] = rounded.z;
}
