// Reading what the lanes of a simdgroup laid down for each other. That memory is the emulator's and no matter of the
// kernel's, so these functions are kept out of what checks its accesses; they are not inlined for the same reason.
#pragma once

#pragma clang attribute push(__attribute__((nodebug)), apply_to = hasType(functionType))
#pragma clang attribute push(__attribute__((no_sanitize("thread"))), apply_to = function)
template <class V> inline V msl_brought(__private msl_exchange* exchange, uint lane) {
    V value;
    __builtin_memcpy(&value, exchange->values[lane], sizeof(V));
    return value;
}
inline bool msl_took_part(__private msl_exchange* exchange, uint lane) { return (exchange->lanes >> lane) & 1; }
inline uint msl_first_lane(__private msl_exchange* exchange) { return (uint)__builtin_ctzl(exchange->lanes); }
#pragma clang attribute pop
#pragma clang attribute pop
