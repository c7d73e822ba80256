// Floats as integers that sort like them: comparisons and maxima of integers are the same everywhere, and over a simdgroup
// faster on some GPUs.
#pragma once

// -0 equals 0. A NaN is above or below all others, by its sign.
inline uint key_of(float number) {
    uint bits = as_type<uint>(number);
    if (bits == 0x80000000u) bits = 0;
    return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

inline float number_of(uint key) {
    return as_type<float>((key & 0x80000000u) != 0 ? key & 0x7fffffffu : ~key);
}
