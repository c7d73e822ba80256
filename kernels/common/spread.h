// Fields of a few bits, each moved to a byte of its own: what bytes_to_half takes.
#pragma once

// Four fields of two bits at the bottom of a word.
inline uint spread_2(uint bits) {
    const uint nibbles = (bits | bits << 12) & 0x000f000fu;
    return (nibbles | nibbles << 6) & 0x03030303u;
}

// Four fields of three bits at the bottom of a word.
inline uint spread_3(uint bits) {
    return (bits & 7u) | (bits & 0x38u) << 5 | (bits & 0x1c0u) << 10 | (bits & 0xe00u) << 15;
}

// Four nibbles at the bottom of a word.
inline uint spread_4(uint bits) {
    const uint pairs = (bits | bits << 8) & 0x00ff00ffu;
    return (pairs | pairs << 4) & 0x0f0f0f0fu;
}

// Four fields of five bits at the bottom of a word.
inline uint spread_5(uint bits) {
    return (bits & 0x1fu) | (bits & 0x3e0u) << 3 | (bits & 0x7c00u) << 6 | (bits & 0xf8000u) << 9;
}

// Four fields of six bits at the bottom of a word.
inline uint spread_6(uint bits) {
    return (bits & 0x3fu) | (bits & 0xfc0u) << 2 | (bits & 0x3f000u) << 4 | (bits & 0xfc0000u) << 6;
}
