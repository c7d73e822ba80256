// The threads that work on one row, and sums over them.
#pragma once

// A thread's place among those of its threadgroup.
struct Team {
    uint index;        // 0 .. count
    uint count;
    uint lane;
    uint simdgroup;
    uint simdgroups;
};

// The sum of `value` over the threadgroup, in every thread. `partial` [32] is not free again before the next barrier.
inline float team_sum(float value, threadgroup float* partial, Team team) {
    value = simd_sum(value);
    if (team.lane == 0) partial[team.simdgroup] = value;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    return simd_sum(team.lane < team.simdgroups ? partial[team.lane] : 0.0f);
}

// The greatest `value`, in every thread. `partial` [32] is not free again before the next barrier.
inline float team_max(float value, threadgroup float* partial, Team team) {
    value = simd_max(value);
    if (team.lane == 0) partial[team.simdgroup] = value;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    return simd_max(team.lane < team.simdgroups ? partial[team.lane] : -INFINITY);
}

// Both at once: the sum of `value`, and the greatest `magnitude`, of which none is negative. Two reductions one after another
// wait twice for the slowest simdgroup. `partial` [64] is not free again before the next barrier.
struct SumAndGreatest {
    float sum;
    float greatest;
};
inline SumAndGreatest team_sum_and_greatest(float value, float magnitude, threadgroup float* partial, Team team) {
    value = simd_sum(value);
    // Numbers that are not negative are in the order of their bits, whose maximum is one instruction on some GPUs.
    magnitude = as_type<float>(simd_max(as_type<uint>(magnitude)));
    if (team.lane == 0) {
        partial[team.simdgroup] = value;
        partial[32 + team.simdgroup] = magnitude;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    const bool has = team.lane < team.simdgroups;
    value = has ? partial[team.lane] : 0.0f;
    magnitude = has ? partial[32 + team.lane] : 0.0f;
    return {simd_sum(value), as_type<float>(simd_max(as_type<uint>(magnitude)))};
}

// The least `value`, in every thread; `partial` [32] may be used again at once.
inline uint team_min(uint value, threadgroup uint* partial, Team team) {
    value = simd_min(value);
    if (team.lane == 0) partial[team.simdgroup] = value;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    value = simd_min(team.lane < team.simdgroups ? partial[team.lane] : 0xffffffffu);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    return value;
}

// The sum over a simdgroup of 64-bit integers, which no collective has: as three limbs of 22 bits, whose sums fit in 32.
inline ulong simd_sum_wide(ulong value) {
    const uint low = simd_sum(uint(value) & 0x3fffffu);
    const uint middle = simd_sum(uint(value >> 22) & 0x3fffffu);
    const uint high = simd_sum(uint(value >> 44));
    return ulong(low) + (ulong(middle) << 22) + (ulong(high) << 44);
}

// The same over the threadgroup; `partial` [32] may be used again at once.
inline ulong team_sum_wide(ulong value, threadgroup ulong* partial, Team team) {
    value = simd_sum_wide(value);
    if (team.lane == 0) partial[team.simdgroup] = value;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    value = simd_sum_wide(team.lane < team.simdgroups ? partial[team.lane] : 0ul);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    return value;
}
