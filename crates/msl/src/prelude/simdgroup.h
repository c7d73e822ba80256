// What the 32 lanes of a simdgroup do together, and barriers.
//
// Each function hands its value to the emulator, waits until all lanes have, and computes its result from all of
// them. Sums are taken in a fixed tree (lane l with l + 16, then l + 8, …), one of the orders that a GPU may use.
#pragma once

namespace metal {
enum class mem_flags : uint { mem_none = 0, mem_device = 1, mem_threadgroup = 2, mem_texture = 4 };
constexpr mem_flags operator|(mem_flags a, mem_flags b) { return (mem_flags)((uint)a | (uint)b); }
inline void threadgroup_barrier(mem_flags flags) { msl_tg_barrier((uint)flags); }
inline void simdgroup_barrier(mem_flags flags) { msl_simd_wait(0x60u | (uint)flags); }

// Types that Metal's functions take: numbers of up to 32 bits, but not bool and not bfloat.
template <class T> struct msl_is_simd_element
    : bool_constant<(is_integral<T>::value && sizeof(T) <= 4 && !__is_same(T, bool)) || __is_same(T, float) ||
                    __is_same(T, half)> {};
template <class V> using msl_if_simd = enable_if_t<msl_is_simd_element<typename msl_element<V>::type>::value, int>;
template <class V>
using msl_if_simd_integer = enable_if_t<msl_is_simd_element<typename msl_element<V>::type>::value &&
                                        is_integral<typename msl_element<V>::type>::value, int>;

#define MSL_REDUCE(name, kind, if_type, neutral, expression)                                      \
    template <class T, class V = msl_value_t<T>, if_type<V> = 0> inline V name(T value) {         \
        V v = value;                                                                              \
        __private msl_exchange* exchange = msl_xchg(kind, &v, sizeof(V));                         \
        V tree[32];                                                                               \
        for (uint lane = 0; lane < 32; lane++)                                                    \
            tree[lane] = msl_took_part(exchange, lane) ? msl_brought<V>(exchange, lane) : neutral; \
        for (uint half_way = 16; half_way > 0; half_way >>= 1)                                    \
            for (uint lane = 0; lane < half_way; lane++) {                                        \
                const V a = tree[lane], b = tree[lane + half_way];                                \
                tree[lane] = (V)(expression);                                                     \
            }                                                                                     \
        return tree[0];                                                                           \
    }
MSL_REDUCE(simd_sum, 0x10, msl_if_simd, V(0), a + b)
MSL_REDUCE(simd_product, 0x11, msl_if_simd, V(1), a * b)
// A lane that does not take part stands back for the one that asks.
MSL_REDUCE(simd_max, 0x12, msl_if_simd, v, max(a, b))
MSL_REDUCE(simd_min, 0x13, msl_if_simd, v, min(a, b))
MSL_REDUCE(simd_and, 0x14, msl_if_simd_integer, v, a & b)
MSL_REDUCE(simd_or, 0x15, msl_if_simd_integer, V(0), a | b)
MSL_REDUCE(simd_xor, 0x16, msl_if_simd_integer, V(0), a ^ b)
#undef MSL_REDUCE

#define MSL_PREFIX(name, kind, neutral, inclusive, expression)                                    \
    template <class T, class V = msl_value_t<T>, msl_if_simd<V> = 0> inline V name(T value) {     \
        V v = value;                                                                              \
        __private msl_exchange* exchange = msl_xchg(kind, &v, sizeof(V));                         \
        const uint end = msl_lane() + inclusive;                                                  \
        V a = V(neutral);                                                                         \
        for (uint lane = 0; lane < end; lane++)                                                   \
            if (msl_took_part(exchange, lane)) {                                                  \
                const V b = msl_brought<V>(exchange, lane);                                       \
                a = (V)(expression);                                                              \
            }                                                                                     \
        return a;                                                                                 \
    }
MSL_PREFIX(simd_prefix_inclusive_sum, 0x20, 0, 1, a + b)
MSL_PREFIX(simd_prefix_exclusive_sum, 0x21, 0, 0, a + b)
MSL_PREFIX(simd_prefix_inclusive_product, 0x22, 1, 1, a * b)
MSL_PREFIX(simd_prefix_exclusive_product, 0x23, 1, 0, a * b)
#undef MSL_PREFIX

// The value of another lane. One that does not exist or does not take part has none: that ends the dispatch with a
// report. Shifted beyond the simdgroup, a lane keeps its own.
constexpr __constant int msl_no_lane = -1;
inline int msl_shifted(int lane) { return lane < 0 || lane > 31 ? msl_no_lane : lane; }
template <class V> inline V msl_from_lane(__private msl_exchange* exchange, int lane, V own) {
    if (lane == msl_no_lane) return own;
    if (lane > 31) msl_fail("a shuffle or broadcast names a lane beyond the last");
    if (!msl_took_part(exchange, (uint)lane)) msl_fail("a shuffle reads a lane that does not take part");
    return msl_brought<V>(exchange, (uint)lane);
}
#define MSL_SHUFFLE(name, kind, lane)                                                             \
    template <class T, class V = msl_value_t<T>, msl_if_simd<V> = 0> inline V name(T value, ushort n) { \
        V v = value;                                                                              \
        __private msl_exchange* exchange = msl_xchg(kind, &v, sizeof(V));                         \
        const int me = (int)msl_lane();                                                           \
        return msl_from_lane<V>(exchange, lane, v);                                               \
    }
MSL_SHUFFLE(simd_shuffle, 0x30, (int)n)
MSL_SHUFFLE(simd_shuffle_xor, 0x31, me ^ (int)n)
MSL_SHUFFLE(simd_shuffle_down, 0x32, msl_shifted(me + (int)n))
MSL_SHUFFLE(simd_shuffle_up, 0x33, msl_shifted(me - (int)n))
MSL_SHUFFLE(simd_broadcast, 0x34, (int)n)
MSL_SHUFFLE(simd_shuffle_rotate_down, 0x35, (me + (int)n) & 31)
MSL_SHUFFLE(simd_shuffle_rotate_up, 0x36, (me - (int)n) & 31)
template <class T, class V = msl_value_t<T>, msl_if_simd<V> = 0> inline V simd_shuffle_and_fill_down(T value, T fill, ushort n) {
    const V shifted = simd_shuffle_down(value, n), filler = simd_shuffle_rotate_down(fill, n);
    return msl_lane() + n < 32 ? shifted : filler;
}
template <class T, class V = msl_value_t<T>, msl_if_simd<V> = 0> inline V simd_shuffle_and_fill_up(T value, T fill, ushort n) {
    const V shifted = simd_shuffle_up(value, n), filler = simd_shuffle_rotate_up(fill, n);
    return msl_lane() >= n ? shifted : filler;
}
template <class T, class V = msl_value_t<T>, msl_if_simd<V> = 0> inline V simd_broadcast_first(T value) {
    V v = value;
    __private msl_exchange* exchange = msl_xchg(0x37, &v, sizeof(V));
    return msl_brought<V>(exchange, msl_first_lane(exchange));
}

// Which lanes say yes.
struct simd_vote {
    typedef ulong vote_t;
    ulong lanes;
    explicit constexpr simd_vote(vote_t v = 0) : lanes(v) {}
    explicit constexpr operator vote_t() const { return lanes; }
    bool all() const { return lanes == 0xfffffffful; }
    bool any() const { return lanes != 0; }
};
inline ulong msl_votes(uint kind, bool yes) {
    __private msl_exchange* exchange = msl_xchg(kind, &yes, 1);
    ulong votes = 0;
    for (uint lane = 0; lane < 32; lane++)
        if (msl_took_part(exchange, lane) && msl_brought<bool>(exchange, lane)) votes |= 1ul << lane;
    return votes;
}
inline simd_vote simd_ballot(bool yes) { return simd_vote(msl_votes(0x40, yes)); }
inline bool simd_all(bool yes) { return msl_votes(0x41, !yes) == 0; }
inline bool simd_any(bool yes) { return msl_votes(0x42, yes) != 0; }
inline bool simd_is_first() { return msl_lane() == (uint)__builtin_ctzl(msl_votes(0x43, true)); }
inline simd_vote simd_active_threads_mask() { return simd_ballot(true); }
}
