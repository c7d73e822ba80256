// How a GPU thread begins: a thunk takes the kernel's arguments out of its own parameters.
#pragma once

// The memory of a threadgroup variable; the lowering writes this in place of the variable. OpenCL lets only a kernel
// declare one, and after the lowering no function is a kernel, so the assembler is asked for it: static shared memory of
// the function that the call ends up in. What consists of blocks of 1,024 bytes begins at a multiple of that, as Hopper's
// matrix unit wants it (warpgroup.h).
template <class T> inline __local T& msl_threadgroup(uint, const __constant char*) {
    ulong address;
    asm volatile(".shared .align %2 .b8 msl_memory_%=[%1];\n\tmov.u64 %0, msl_memory_%=;"
                 : "=l"(address) : "n"(sizeof(T)), "n"(sizeof(T) % 1024 == 0 ? 1024 : 16));
    return *(__local T*)(__local void*)address;
}

// A parameter that points or refers to memory, from the address that the thunk was given.
template <class A> inline A msl_address(ulong address) {
    if constexpr (__is_reference(A)) {
        typedef typename metal::remove_reference<A>::type target;
        return *(target*)address;
    } else {
        return (A)address;
    }
}
// A struct by value becomes a reference to the thunk's parameter; it is read with ld.param.
template <class A> struct msl_parameter { typedef ulong type; };
template <class T> struct msl_parameter<constant T&> { typedef metal::remove_cv_t<T> type; };

template <class A> inline A msl_vector_of(uint x, uint y, uint z) {
    typedef metal::remove_cv_t<A> value;
    if constexpr (metal::msl_is_vector<value>::value) {
        const uint from[3] = {x, y, z};
        value v;
        MSL_EACH(value::length, v.components[i] = (typename value::element)from[i])
        return v;
    } else {
        return (value)x;
    }
}
#define MSL_SREG(name) __nvvm_read_ptx_sreg_##name
template <class A, uint builtin> inline A msl_builtin_argument() {
    const uint tx = MSL_SREG(tid_x)(), ty = MSL_SREG(tid_y)(), tz = MSL_SREG(tid_z)();
    const uint bx = MSL_SREG(ctaid_x)(), by = MSL_SREG(ctaid_y)(), bz = MSL_SREG(ctaid_z)();
    const uint nx = MSL_SREG(ntid_x)(), ny = MSL_SREG(ntid_y)(), nz = MSL_SREG(ntid_z)();
    const uint gx = MSL_SREG(nctaid_x)(), gy = MSL_SREG(nctaid_y)(), gz = MSL_SREG(nctaid_z)();
    if constexpr (builtin == 0) return msl_vector_of<A>(bx * nx + tx, by * ny + ty, bz * nz + tz);
    else if constexpr (builtin == 1) return msl_vector_of<A>(tx, ty, tz);
    else if constexpr (builtin == 2) return msl_vector_of<A>(bx, by, bz);
    else if constexpr (builtin == 3 || builtin == 11) return msl_vector_of<A>(nx, ny, nz);
    else if constexpr (builtin == 4) return msl_vector_of<A>(gx, gy, gz);
    else if constexpr (builtin == 5 || builtin == 17) return msl_vector_of<A>(gx * nx, gy * ny, gz * nz);
    else if constexpr (builtin == 6) return msl_vector_of<A>(msl_thread(), 0, 0);
    else if constexpr (builtin == 7) return msl_vector_of<A>(msl_thread() / 32, 0, 0);
    else if constexpr (builtin == 8) return msl_vector_of<A>(msl_lane(), 0, 0);
    else if constexpr (builtin == 9 || builtin == 12) return msl_vector_of<A>((nx * ny * nz + 31) / 32, 0, 0);
    else if constexpr (builtin == 10 || builtin == 13) return msl_vector_of<A>(32, 0, 0);
    else if constexpr (builtin == 14) return msl_vector_of<A>(msl_thread() / 4, 0, 0);
    else if constexpr (builtin == 15) return msl_vector_of<A>(msl_lane() % 4, 0, 0);
    else return msl_vector_of<A>(0, 0, 0);
}
#undef MSL_SREG

// The parameter types of a kernel.
template <int I, class First, class... Rest> struct msl_nth { typedef typename msl_nth<I - 1, Rest...>::type type; };
template <class First, class... Rest> struct msl_nth<0, First, Rest...> { typedef First type; };
template <class F> struct msl_signature;
template <class... P> struct msl_signature<void(P...)> { template <int I> using at = typename msl_nth<I, P...>::type; };
// A kernel's parameter from the thunk's.
template <class A, class P> inline A msl_from_parameter(P& parameter) {
    if constexpr (__is_reference(A)) return parameter;
    else return msl_address<A>(parameter);
}
