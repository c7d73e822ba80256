// What a kernel asks of the GPU: one instruction each. The other side of these names, for a processor, is the
// emulator (../abi.h).
#pragma once

inline uint msl_lane() { return __nvvm_read_ptx_sreg_laneid(); }
// The thread's index in its threadgroup.
inline uint msl_thread() {
    const uint x = __nvvm_read_ptx_sreg_tid_x(), y = __nvvm_read_ptx_sreg_tid_y(), z = __nvvm_read_ptx_sreg_tid_z();
    return (z * __nvvm_read_ptx_sreg_ntid_y() + y) * __nvvm_read_ptx_sreg_ntid_x() + x;
}
// A simdgroup is a warp; all its lanes take part in everything that they do together (a rule of the kernels, which
// the emulator checks).
constexpr __constant int msl_all_lanes = -1;
inline void msl_simd_wait(uint) { __nvvm_bar_warp_sync(msl_all_lanes); }
inline void msl_tg_barrier(uint) { __nvvm_bar_sync(0); }
inline void msl_fence(uint flags, uint, uint scope) {
    if (scope >= 3 || (flags & 1)) __nvvm_membar_gl();
    else __nvvm_membar_cta();
}
// From here on, everything is done that was launched before. The host puts the instruction that waits in the comment's place,
// on GPUs that can start a launch before that (crate::ptx::Ptx::overlapping).
inline void msl_after_earlier_launches() { asm volatile("// after earlier launches" ::: "memory"); }
// The launch after this one may begin, as soon as all of this one's threadgroups are here: likewise.
inline void msl_let_next_begin() { asm volatile("// let next begin" ::: "memory"); }
// Loads that are made or not, without a branch.
inline void msl_load_if(bool wanted, const __global void* from, uint& x) {
    asm volatile("{\n\t.reg .pred wanted;\n\tsetp.ne.u32 wanted, %2, 0;\n\t@wanted ld.global.u32 %0, [%1];\n\t}"
                 : "+r"(x) : "l"(from), "r"((uint)wanted));
}
inline void msl_load_if(bool wanted, const __global void* from, uint& x, uint& y) {
    asm volatile("{\n\t.reg .pred wanted;\n\tsetp.ne.u32 wanted, %3, 0;\n\t@wanted ld.global.v2.u32 {%0, %1}, [%2];\n\t}"
                 : "+r"(x), "+r"(y) : "l"(from), "r"((uint)wanted));
}
inline void msl_load_if(bool wanted, const __global void* from, uint& x, uint& y, uint& z, uint& w) {
    asm volatile("{\n\t.reg .pred wanted;\n\tsetp.ne.u32 wanted, %5, 0;\n\t@wanted ld.global.v4.u32 {%0, %1, %2, %3}, [%4];\n\t}"
                 : "+r"(x), "+r"(y), "+r"(z), "+r"(w) : "l"(from), "r"((uint)wanted));
}
inline void msl_fail(const __constant char*) { __builtin_trap(); }

// The words of a value, for instructions that move 32 bits.
template <class V> struct msl_words {
    static constexpr __constant uint count = (sizeof(V) + 3) / 4;
    int word[count];
};
template <class V> inline msl_words<V> msl_to_words(V value) {
    msl_words<V> words;
    if constexpr (sizeof(V) % 4 != 0) words.word[msl_words<V>::count - 1] = 0;
    __builtin_memcpy(&words, &value, sizeof(V));
    return words;
}
template <class V> inline V msl_from_words(msl_words<V> words) {
    V value;
    __builtin_memcpy(&value, &words, sizeof(V));
    return value;
}
// What `lane` brings.
template <class V> inline V msl_of_lane(V value, int lane) {
    msl_words<V> words = msl_to_words(value);
    for (uint i = 0; i < msl_words<V>::count; i++)
        words.word[i] = __nvvm_shfl_sync_idx_i32(msl_all_lanes, words.word[i], lane, 31);
    return msl_from_words<V>(words);
}
// What the lane brings whose number differs by `mask`.
template <class V> inline V msl_of_partner(V value, int mask) {
    msl_words<V> words = msl_to_words(value);
    for (uint i = 0; i < msl_words<V>::count; i++)
        words.word[i] = __nvvm_shfl_sync_bfly_i32(msl_all_lanes, words.word[i], mask, 31);
    return msl_from_words<V>(words);
}
// Four of the bytes of two words.
inline uint msl_permute_bytes(uint low, uint high, uint selector) {
    uint result;
    asm("prmt.b32 %0, %1, %2, %3;" : "=r"(result) : "r"(low), "r"(high), "r"(selector));
    return result;
}
// (word & mask) | base, in one instruction: what compilers make of the two operators with constants is two.
inline uint msl_and_or(uint word, uint mask, uint base) {
    uint result;
    asm("lop3.b32 %0, %1, %2, %3, 0xEA;" : "=r"(result) : "r"(word), "r"(mask), "r"(base));
    return result;
}
// The lower or the upper 16 bits of a word, twice: said so that it becomes part of the instruction that takes it.
inline uint msl_low_twice(uint pair) {
    uint result;
    asm("{\n\t.reg .b16 low, high;\n\tmov.b32 {low, high}, %1;\n\tmov.b32 %0, {low, low};\n\t}" : "=r"(result) : "r"(pair));
    return result;
}
inline uint msl_high_twice(uint pair) {
    uint result;
    asm("{\n\t.reg .b16 low, high;\n\tmov.b32 {low, high}, %1;\n\tmov.b32 %0, {high, high};\n\t}" : "=r"(result) : "r"(pair));
    return result;
}
