// One atomic operation: the emulator does it.
#pragma once

namespace metal {
// The emulator's number for an operation; 0x100 says that the value is a float, 0x200 that it has a sign.
template <class T> inline T msl_atomic_operation(uint operation, volatile void* address, T value, T expected = T()) {
    ulong value_bits = 0, expected_bits = 0, old_bits = 0;
    __builtin_memcpy(&value_bits, &value, sizeof(T));
    __builtin_memcpy(&expected_bits, &expected, sizeof(T));
    operation |= (is_floating_point<T>::value ? 0x100u : 0u) | (is_signed<T>::value ? 0x200u : 0u);
    msl_atomic(operation, sizeof(T), (void*)address, value_bits, expected_bits, &old_bits);
    T old;
    __builtin_memcpy(&old, &old_bits, sizeof(T));
    return old;
}
}
