// How the emulator starts a thread: a thunk takes the kernel's arguments out of an msl_launch.
#pragma once

// The memory of a threadgroup variable; the lowering writes this in place of the variable.
template <class T> inline __local T& msl_threadgroup(uint site, __constant const char* name) {
    return *(__local T*)(ulong)msl_tg_var(site, sizeof(T), name);
}

// A parameter that points or refers to memory.
template <class A> inline A msl_address(__private void* address) {
    if constexpr (__is_reference(A)) {
        typedef typename metal::remove_reference<A>::type target;
        return *(target*)(ulong)address;
    } else {
        return (A)(ulong)address;
    }
}
template <class A> inline A msl_buffer_argument(const __private msl_launch* launch, uint index) {
    return msl_address<A>(launch->buffers[index]);
}
template <class A> inline A msl_threadgroup_argument(const __private msl_launch* launch, uint index) {
    return msl_address<A>(launch->threadgroup_memory[index]);
}
// A parameter that says where the thread is: a number, or a vector of two or three.
template <class A> inline A msl_builtin_argument(const __private msl_launch* launch, uint index) {
    typedef metal::remove_cv_t<A> value;
    value v;
    if constexpr (metal::msl_is_vector<value>::value) {
        MSL_EACH(value::length, v.components[i] = (typename value::element)launch->values[index][i])
    } else {
        v = (value)launch->values[index][0];
    }
    return v;
}

// The parameter types of a kernel.
template <int I, class First, class... Rest> struct msl_nth { typedef typename msl_nth<I - 1, Rest...>::type type; };
template <class First, class... Rest> struct msl_nth<0, First, Rest...> { typedef First type; };
template <class F> struct msl_signature;
template <class... P> struct msl_signature<void(P...)> { template <int I> using at = typename msl_nth<I, P...>::type; };
