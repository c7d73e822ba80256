// Memory spaces, the scalar types, and words that only OpenCL reserves.
#pragma once

// Four memory spaces that clang keeps apart; on this processor all of them are plain memory. `constant` is not
// OpenCL's __constant, because an object there could not be passed to a function that takes it from any space.
#define device __attribute__((opencl_global_device))
#define constant const __global
// The lint wants conversions from `device` to be errors.
#ifdef MSL_STRICT
#undef constant
#define constant const __attribute__((opencl_global_host))
#endif
// On a GPU a struct of arguments is a parameter of the kernel, which is in none of OpenCL's own spaces.
#ifdef __NVPTX__
#undef constant
#define constant const __generic
#endif
#define msl_program_constant const __global
#define threadgroup __local
#define thread __private

// Names that OpenCL reserves and Metal does not.
#define kernel
#define local msl_name_local
#define global msl_name_global
#define generic msl_name_generic
#define pipe msl_name_pipe
#define read_only msl_name_read_only
#define write_only msl_name_write_only
#define read_write msl_name_read_write
#define event_t msl_name_event
#define sampler_t msl_name_sampler
#define atomic_int msl_atomic_int
#define atomic_uint msl_atomic_uint
#define atomic_float msl_atomic_float
#define atomic_bool msl_atomic_bool
#define memory_order msl_memory_order
#define memory_order_relaxed msl_memory_order_relaxed
#define memory_order_acquire msl_memory_order_acquire
#define memory_order_release msl_memory_order_release
#define memory_order_acq_rel msl_memory_order_acq_rel
#define memory_order_seq_cst msl_memory_order_seq_cst

typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;
typedef signed char int8_t;
typedef short int16_t;
typedef int int32_t;
typedef long int64_t;
typedef uchar uint8_t;
typedef ushort uint16_t;
typedef uint uint32_t;
typedef ulong uint64_t;
typedef ulong size_t;
typedef long ptrdiff_t;
typedef ulong uintptr_t;
typedef long intptr_t;
typedef __bf16 bfloat;

namespace metal {
using ::bfloat;
using ::int16_t;
using ::int32_t;
using ::int64_t;
using ::int8_t;
using ::ptrdiff_t;
using ::size_t;
using ::uchar;
using ::uint;
using ::uint16_t;
using ::uint32_t;
using ::uint64_t;
using ::uint8_t;
using ::ulong;
using ::ushort;
}
