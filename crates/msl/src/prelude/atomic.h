// Atomics. Metal has them in `device` and `threadgroup` memory, with relaxed order.
#pragma once

enum memory_order { memory_order_relaxed, memory_order_acquire, memory_order_release, memory_order_acq_rel, memory_order_seq_cst };

namespace metal {
using ::memory_order;
enum thread_scope { thread_scope_thread, thread_scope_simdgroup, thread_scope_threadgroup, thread_scope_device };
inline void atomic_thread_fence(mem_flags flags, memory_order order, thread_scope scope = thread_scope_device) {
    msl_fence((uint)flags, (uint)order, (uint)scope);
}

template <class T> struct _atomic { T value; };
template <class T> using atomic = _atomic<T>;
typedef _atomic<int> atomic_int;
typedef _atomic<uint> atomic_uint;
typedef _atomic<float> atomic_float;
typedef _atomic<bool> atomic_bool;

}
#include "atomic_operation.h"
namespace metal {
template <class T> struct msl_as_given { using type = T; };
// The value's type follows from the object, so that 1 may be added to an atomic_uint.
template <class T> using msl_given_t = typename msl_as_given<T>::type;
template <class T> using msl_if_number = enable_if_t<!__is_same(T, bool), int>;
template <class T> using msl_if_whole = enable_if_t<__is_same(T, int) || __is_same(T, uint), int>;
#define MSL_RELAXED(order) __attribute__((enable_if(order == memory_order_relaxed, "Metal's atomics have memory_order_relaxed only")))
#define MSL_ATOMIC_FETCH(space, name, number, if_type)                                                       \
    template <class T, if_type<T> = 0>                                                                       \
    inline T atomic_fetch_##name##_explicit(volatile space _atomic<T>* object, msl_given_t<T> operand, memory_order order) \
        MSL_RELAXED(order) { return msl_atomic_operation<T>(number, object, operand); }
#define MSL_ATOMIC(space)                                                                                    \
    template <class T> inline T atomic_load_explicit(const volatile space _atomic<T>* object, memory_order order) \
        MSL_RELAXED(order) { return msl_atomic_operation<T>(0, (volatile space _atomic<T>*)object, T()); }   \
    template <class T>                                                                                       \
    inline void atomic_store_explicit(volatile space _atomic<T>* object, msl_given_t<T> desired, memory_order order) \
        MSL_RELAXED(order) { msl_atomic_operation<T>(1, object, desired); }                                  \
    template <class T>                                                                                       \
    inline T atomic_exchange_explicit(volatile space _atomic<T>* object, msl_given_t<T> desired, memory_order order) \
        MSL_RELAXED(order) { return msl_atomic_operation<T>(2, object, desired); }                           \
    template <class T>                                                                                       \
    inline bool atomic_compare_exchange_weak_explicit(volatile space _atomic<T>* object, thread T* expected, \
                                                      msl_given_t<T> desired, memory_order success,          \
                                                      memory_order failure)                                  \
        MSL_RELAXED(success) MSL_RELAXED(failure) {                                                          \
        const T old = msl_atomic_operation<T>(10, object, desired, *expected);                               \
        const bool same = __builtin_memcmp(&old, (const void*)expected, sizeof(T)) == 0;                     \
        *expected = old;                                                                                     \
        return same;                                                                                         \
    }                                                                                                        \
    MSL_ATOMIC_FETCH(space, add, 3, msl_if_number) MSL_ATOMIC_FETCH(space, sub, 4, msl_if_number)            \
    MSL_ATOMIC_FETCH(space, min, 5, msl_if_whole) MSL_ATOMIC_FETCH(space, max, 6, msl_if_whole)              \
    MSL_ATOMIC_FETCH(space, and, 7, msl_if_whole) MSL_ATOMIC_FETCH(space, or, 8, msl_if_whole)               \
    MSL_ATOMIC_FETCH(space, xor, 9, msl_if_whole)
MSL_ATOMIC(device)
MSL_ATOMIC(threadgroup)
#undef MSL_ATOMIC
#undef MSL_ATOMIC_FETCH
#undef MSL_RELAXED
}
