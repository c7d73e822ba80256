// Rows of f32 of any width, four elements at a time.
//
// Quad `q` of a row is its elements 4q .. 4q + 4; where the width is no multiple of four the last quad is short, and
// what it lacks reads as zero and is not written. Rows begin at any multiple of four bytes: `packed_float4` promises no
// more, and Apple's GPUs still load it in one instruction (they align vectors to their elements).
#pragma once

// Quads of a row, the short one included.
inline uint quads_of(uint width) { return (width + 3) / 4; }

// NVIDIA's GPUs load 16 bytes at once only from a multiple of 16, which rows nearly always begin at.
inline bool at_vector(device const float* place) {
#ifdef MSL_PTX
    return ((ulong)place & 15) == 0;
#else
    return false;
#endif
}

inline float4 load_quad(device const float* row, uint quad, uint width) {
    const uint first = 4 * quad;
    if (first + 4 <= width && at_vector(row + first)) return *reinterpret_cast<device const float4*>(row + first);
    if (first + 4 <= width) return float4(*reinterpret_cast<device const packed_float4*>(row + first));
    float4 value = float4(0.0f);
    if (first < width) value.x = row[first];
    if (first + 1 < width) value.y = row[first + 1];
    if (first + 2 < width) value.z = row[first + 2];
    return value;
}

// Whether a row may be loaded in vectors from its beginning to its end.
inline bool whole_vectors(device const float* row, uint width) { return width % 4 == 0 && at_vector(row); }

// Quads first, first + stride, … of a row. WHOLE is what whole_vectors says of all rows that are loaded together: then no load
// waits for another one or for a condition. In the place of those behind the row's end stands the last one with WHOLE, and zeros
// without: they are for nobody.
template <uint COUNT, bool WHOLE>
inline void load_quads(device const float* row, uint first, uint stride, uint width, thread float4 (&quads)[COUNT]) {
    for (uint k = 0; k < COUNT; k++) {
        const uint quad = first + k * stride;
        if (WHOLE) quads[k] = reinterpret_cast<device const float4*>(row)[min(quad, width / 4 - 1)];
        else quads[k] = load_quad(row, quad, width);
    }
}

template <bool WHOLE = false>
inline void store_quad(device float* row, uint quad, uint width, float4 value) {
    const uint first = 4 * quad;
    if (WHOLE || (first + 4 <= width && at_vector(row + first))) {
        *reinterpret_cast<device float4*>(row + first) = value;
        return;
    }
    if (first + 4 <= width) {
        *reinterpret_cast<device packed_float4*>(row + first) = packed_float4(value);
        return;
    }
    if (first < width) row[first] = value.x;
    if (first + 1 < width) row[first + 1] = value.y;
    if (first + 2 < width) row[first + 2] = value.z;
}

// `value` with zero in the places that a short quad lacks.
inline float4 within_row(float4 value, uint quad, uint width) {
    const uint4 index = uint4(4 * quad) + uint4(0, 1, 2, 3);
    return select(float4(0.0f), value, index < uint4(width));
}
