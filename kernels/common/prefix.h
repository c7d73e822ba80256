// Sums of 64-bit integers over the threads before one: needs team.h.
#pragma once

// The sum over the lanes before this one, in the limbs of simd_sum_wide.
inline ulong simd_before(ulong value) {
    const uint low = simd_prefix_exclusive_sum(uint(value) & 0x3fffffu);
    const uint middle = simd_prefix_exclusive_sum(uint(value >> 22) & 0x3fffffu);
    const uint high = simd_prefix_exclusive_sum(uint(value >> 44));
    return ulong(low) + (ulong(middle) << 22) + (ulong(high) << 44);
}

// Sums over a threadgroup.
struct Before {
    ulong mine;    // over the threads before this one
    ulong all;     // over all of them
};

// `partial` [32] may be used again at once.
inline Before team_before(ulong value, threadgroup ulong* partial, Team team) {
    const ulong within = simd_before(value);
    if (team.lane == 31) partial[team.simdgroup] = within + value;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    const ulong sum = team.lane < team.simdgroups ? partial[team.lane] : 0ul;
    const ulong earlier = simd_sum_wide(team.lane < team.simdgroup ? sum : 0ul);
    const ulong all = simd_sum_wide(sum);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    return Before{earlier + within, all};
}
