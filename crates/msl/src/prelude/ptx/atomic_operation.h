// One atomic operation: an instruction of the GPU. The numbers are those of the emulator.
#pragma once

namespace metal {
template <class T> inline T msl_atomic_operation(const uint operation, volatile void* address, T value, T expected = T()) {
    volatile T* at = (volatile T*)address;
    if constexpr (is_floating_point<T>::value) {
        volatile uint* words = (volatile uint*)address;
        const uint bits = __builtin_bit_cast(uint, value);
        if (operation == 0) return __builtin_bit_cast(T, __atomic_load_n(words, __ATOMIC_RELAXED));
        if (operation == 1) { __atomic_store_n(words, bits, __ATOMIC_RELAXED); return T(); }
        if (operation == 2) return __builtin_bit_cast(T, __atomic_exchange_n(words, bits, __ATOMIC_RELAXED));
        if (operation == 10) {
            uint old = __builtin_bit_cast(uint, expected);
            __atomic_compare_exchange_n(words, &old, bits, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
            return __builtin_bit_cast(T, old);
        }
        return __nvvm_atom_add_gen_f((volatile float*)address, operation == 4 ? -value : value);
    } else {
        if (operation == 0) return __atomic_load_n(at, __ATOMIC_RELAXED);
        if (operation == 1) { __atomic_store_n(at, value, __ATOMIC_RELAXED); return T(); }
        if (operation == 2) return __atomic_exchange_n(at, value, __ATOMIC_RELAXED);
        if (operation == 3) return __atomic_fetch_add(at, value, __ATOMIC_RELAXED);
        if (operation == 4) return __atomic_fetch_sub(at, value, __ATOMIC_RELAXED);
        if (operation == 5) return __atomic_fetch_min(at, value, __ATOMIC_RELAXED);
        if (operation == 6) return __atomic_fetch_max(at, value, __ATOMIC_RELAXED);
        if (operation == 7) return __atomic_fetch_and(at, value, __ATOMIC_RELAXED);
        if (operation == 8) return __atomic_fetch_or(at, value, __ATOMIC_RELAXED);
        if (operation == 9) return __atomic_fetch_xor(at, value, __ATOMIC_RELAXED);
        T old = expected;
        __atomic_compare_exchange_n(at, &old, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
        return old;
    }
}
}
