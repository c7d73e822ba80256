// What a GPU computes in half precision by itself: here as float, rounded once.
#pragma once

namespace metal {
MSL_DEFINE_3(half, float, fma, __builtin_fmaf(x, y, z))
inline half2 msl_rounded_to_halves(float first, float second) { return half2(first, second); }
}
