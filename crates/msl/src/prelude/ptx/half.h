// Half precision: one instruction for two neighbours.
#pragma once

namespace metal {
// Two numbers by one conversion.
inline half2 msl_rounded_to_halves(float first, float second) {
    uint pair;
    asm("cvt.rn.f16x2.f32 %0, %2, %1;" : "=r"(pair) : "f"(first), "f"(second));
    return as_type<half2>(pair);
}
inline half fma(half a, half b, half c) {
    ushort result;
    asm("fma.rn.f16 %0, %1, %2, %3;" : "=h"(result) : "h"(__builtin_bit_cast(ushort, a)), "h"(__builtin_bit_cast(ushort, b)),
        "h"(__builtin_bit_cast(ushort, c)));
    return __builtin_bit_cast(half, result);
}
inline half2 fma(half2 a, half2 b, half2 c) {
    uint result;
    asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(result) : "r"(as_type<uint>(a)), "r"(as_type<uint>(b)), "r"(as_type<uint>(c)));
    return as_type<half2>(result);
}
inline half3 fma(half3 a, half3 b, half3 c) {
    return half3(fma(a.x, b.x, c.x), fma(a.y, b.y, c.y), fma(a.z, b.z, c.z));
}
inline half4 fma(half4 a, half4 b, half4 c) {
    const half2 first = fma(half2(a.x, a.y), half2(b.x, b.y), half2(c.x, c.y));
    const half2 second = fma(half2(a.z, a.w), half2(b.z, b.w), half2(c.z, c.w));
    return half4(first.x, first.y, second.x, second.y);
}
}
