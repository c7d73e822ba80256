// Metal's standard library for clang, as C++ for OpenCL: what kernels of language models use of it.
//
// A function takes the types that Metal's takes and no others, so that what Metal's compiler refuses is refused here
// too, as far as types can tell. What a lane cannot do alone goes to the emulator (abi.h).
//
// Everything here is inlined and has no debug information of its own: an access that a function makes belongs to the
// line of the kernel that called it.
#pragma once
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#pragma OPENCL EXTENSION __cl_clang_function_pointers : enable

#include "spaces.h"
#include "abi.h"
#include "exchange.h"

#pragma clang attribute push(__attribute__((nodebug)), apply_to = hasType(functionType))
#pragma clang attribute push(__attribute__((always_inline)), apply_to = function)
#include "traits.h"
#include "swizzle.h"
#include "vector.h"
#include "packed.h"
#include "matrix.h"
#include "limits.h"
#include "map.h"
#include "math.h"
#include "common.h"
#include "integer.h"
#include "geometry.h"
#include "simdgroup.h"
#include "quadgroup.h"
#include "simdgroup_matrix.h"
#include "matrix_unit.h"
#include "warpgroup.h"
#include "atomic.h"
#include "tensor.h"
#include "entry.h"
#pragma clang attribute pop
#pragma clang attribute pop
