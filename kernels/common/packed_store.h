// Where products of packed matrices with many rows leave what a simdgroup has added up.
#pragma once
#include "common/joint_rows.h"
#include "common/packed_record.h"

// Stores what a simdgroup has added up of 16 outputs and all rows, over part `part` of the columns: `results` are those of the
// matrices, or with several parts [parts, rows, outputs].
template <uint ROW_BLOCKS>
inline void store_sums(thread const float4 (&sums)[ROW_BLOCKS], JointRows results, device const float* inverse, device const float* bias,
                       constant GemmPackedArguments& args, uint first_output, uint part, uint lane) {
    const uint g = lane / 4, t = lane % 4;
    JointPart out = joint_part(results, joint_shape(args), first_output);
    out.rows += ulong(part) * args.rows * args.outputs;
    for (uint b = 0; b < ROW_BLOCKS; b++) {
        for (uint element = 0; element < 4; element++) {
            const uint m = 8 * b + 2 * t + element % 2, n = first_output + g + element / 2 * 8;
            if (m < args.rows && n < args.outputs) {
                const float sum = sums[b][element] * inverse[m];
                *out.at(m, n) = args.has_bias != 0 ? sum + bias[n] : sum;
            }
        }
    }
}
