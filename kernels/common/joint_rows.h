// Where results go of up to three matrices that lie one after another as one (q, k and v; gate and up), so that one launch
// multiplies with all of them.
//
//   outputs of the whole   0 .. second   second .. third   third .. outputs
//   go to                  first         second            third               each [rows, its own outputs]
//
// Both begins are multiples of 16, so that 16 outputs of a record go to one place. Where there are fewer results, they are the
// number of outputs.
#pragma once

struct JointRows {
    device float* first;
    device float* second;
    device float* third;
};

// How many outputs there are, and before the second and the third.
struct JointShape {
    uint second, third, outputs;
};

template <typename Arguments>
inline JointShape joint_shape(constant Arguments& args) { return { args.second, args.third, args.outputs }; }

// One of them.
struct JointPart {
    device float* rows;    // [rows, outputs]
    uint begin, outputs;   // of the whole, the first that is here; how many are here
    device float* at(uint m, uint n) const thread { return rows + ulong(m) * outputs + (n - begin); }
};

// That which has output n.
inline JointPart joint_part(JointRows results, JointShape shape, uint n) {
    JointPart part = { results.first, 0, shape.second };
    if (n >= shape.second) part = { results.second, shape.second, shape.third - shape.second };
    if (n >= shape.third) part = { results.third, shape.third, shape.outputs - shape.third };
    return part;
}
