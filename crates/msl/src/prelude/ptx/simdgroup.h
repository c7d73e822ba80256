// What the 32 lanes of a simdgroup do together, and barriers: shuffles of a warp.
//
// Sums are taken in the emulator's tree (lane l with l + 16, then l + 8, …): a butterfly gives each lane the same.
#pragma once

namespace metal {
enum class mem_flags : uint { mem_none = 0, mem_device = 1, mem_threadgroup = 2, mem_texture = 4 };
constexpr mem_flags operator|(mem_flags a, mem_flags b) { return (mem_flags)((uint)a | (uint)b); }
inline void threadgroup_barrier(mem_flags flags) { msl_tg_barrier((uint)flags); }
inline void simdgroup_barrier(mem_flags flags) { msl_simd_wait((uint)flags); }

// Types that Metal's functions take: numbers of up to 32 bits, but not bool and not bfloat.
template <class T> struct msl_is_simd_element
    : bool_constant<(is_integral<T>::value && sizeof(T) <= 4 && !__is_same(T, bool)) || __is_same(T, float) ||
                    __is_same(T, half)> {};
template <class V> using msl_if_simd = enable_if_t<msl_is_simd_element<typename msl_element<V>::type>::value, int>;
template <class V>
using msl_if_simd_integer = enable_if_t<msl_is_simd_element<typename msl_element<V>::type>::value &&
                                        is_integral<typename msl_element<V>::type>::value, int>;

// What one instruction takes the maximum, minimum, … of: words.
template <class V> struct msl_is_word : bool_constant<__is_same(V, uint) || __is_same(V, int)> {};
#define MSL_REDUCE(name, if_type, expression, of_words)                                           \
    template <class T, class V = msl_value_t<T>, if_type<V> = 0> inline V name(T value) {         \
        V a = value;                                                                              \
        if constexpr (msl_is_word<V>::value) { of_words }                                         \
        for (int distance = 16; distance > 0; distance >>= 1) {                                   \
            const V b = msl_of_partner<V>(a, distance);                                           \
            a = (V)(expression);                                                                  \
        }                                                                                         \
        return a;                                                                                 \
    }
#define MSL_REDUX_SIGNED(name)                                                                    \
    if (__is_same(V, uint)) return (V)__nvvm_redux_sync_u##name((uint)a, msl_all_lanes);     \
    return (V)__nvvm_redux_sync_##name((int)a, msl_all_lanes);
MSL_REDUCE(simd_sum, msl_if_simd, a + b, return (V)__nvvm_redux_sync_add((int)a, msl_all_lanes);)
MSL_REDUCE(simd_product, msl_if_simd, a * b, )
MSL_REDUCE(simd_max, msl_if_simd, max(a, b), MSL_REDUX_SIGNED(max))
MSL_REDUCE(simd_min, msl_if_simd, min(a, b), MSL_REDUX_SIGNED(min))
MSL_REDUCE(simd_and, msl_if_simd_integer, a & b, return (V)__nvvm_redux_sync_and((int)a, msl_all_lanes);)
MSL_REDUCE(simd_or, msl_if_simd_integer, a | b, return (V)__nvvm_redux_sync_or((int)a, msl_all_lanes);)
MSL_REDUCE(simd_xor, msl_if_simd_integer, a ^ b, return (V)__nvvm_redux_sync_xor((int)a, msl_all_lanes);)
#undef MSL_REDUCE
#undef MSL_REDUX_SIGNED

#define MSL_SHUFFLE(name, lane)                                                                   \
    template <class T, class V = msl_value_t<T>, msl_if_simd<V> = 0> inline V name(T value, ushort n) { \
        const V v = value;                                                                        \
        const int me = (int)msl_lane();                                                           \
        return msl_of_lane<V>(v, lane);                                                           \
    }
// Shifted beyond the simdgroup, a lane keeps its own.
inline int msl_shifted(int me, int lane) { return lane < 0 || lane > 31 ? me : lane; }
MSL_SHUFFLE(simd_shuffle, (int)n)
MSL_SHUFFLE(simd_shuffle_down, msl_shifted(me, me + (int)n))
MSL_SHUFFLE(simd_shuffle_up, msl_shifted(me, me - (int)n))
MSL_SHUFFLE(simd_broadcast, (int)n)
MSL_SHUFFLE(simd_shuffle_rotate_down, (me + (int)n) & 31)
MSL_SHUFFLE(simd_shuffle_rotate_up, (me - (int)n) & 31)
template <class T, class V = msl_value_t<T>, msl_if_simd<V> = 0> inline V simd_shuffle_xor(T value, ushort n) {
    const V v = value;
    return msl_of_partner<V>(v, (int)n);
}
template <class T, class V = msl_value_t<T>, msl_if_simd<V> = 0> inline V simd_shuffle_and_fill_down(T value, T fill, ushort n) {
    const V shifted = simd_shuffle_down(value, n), filler = simd_shuffle_rotate_down(fill, n);
    return msl_lane() + n < 32 ? shifted : filler;
}
template <class T, class V = msl_value_t<T>, msl_if_simd<V> = 0> inline V simd_shuffle_and_fill_up(T value, T fill, ushort n) {
    const V shifted = simd_shuffle_up(value, n), filler = simd_shuffle_rotate_up(fill, n);
    return msl_lane() >= n ? shifted : filler;
}
template <class T, class V = msl_value_t<T>, msl_if_simd<V> = 0> inline V simd_broadcast_first(T value) {
    const V v = value;
    return msl_of_lane<V>(v, 0);
}

// In ascending order of the lanes, as the emulator adds: each lane in turn takes what the one before it has. Words have one
// answer in any order: there a lane takes what 1, 2, 4, … lanes before it have together.
#define MSL_PREFIX(name, neutral, inclusive, expression)                                          \
    template <class T, class V = msl_value_t<T>, msl_if_simd<V> = 0> inline V name(T value) {     \
        const V own = value;                                                                      \
        const uint end = msl_lane() + inclusive;                                                  \
        V a = V(neutral);                                                                         \
        if constexpr (msl_is_word<V>::value) {                                                    \
            const int me = (int)msl_lane();                                                       \
            a = own;                                                                              \
            for (int distance = 1; distance < 32; distance <<= 1) {                               \
                const V b = msl_of_lane<V>(a, msl_shifted(me, me - distance));                    \
                a = me >= distance ? (V)(expression) : a;                                         \
            }                                                                                     \
            if (inclusive) return a;                                                              \
            const V before = msl_of_lane<V>(a, msl_shifted(me, me - 1));                          \
            return me > 0 ? before : V(neutral);                                                  \
        }                                                                                         \
        for (uint lane = 0; lane < 32; lane++) {                                                  \
            const V b = msl_of_lane<V>(own, (int)lane);                                           \
            a = lane < end ? (V)(expression) : a;                                                 \
        }                                                                                         \
        return a;                                                                                 \
    }
MSL_PREFIX(simd_prefix_inclusive_sum, 0, 1, a + b)
MSL_PREFIX(simd_prefix_exclusive_sum, 0, 0, a + b)
MSL_PREFIX(simd_prefix_inclusive_product, 1, 1, a * b)
MSL_PREFIX(simd_prefix_exclusive_product, 1, 0, a * b)
#undef MSL_PREFIX

// Which lanes say yes.
struct simd_vote {
    typedef ulong vote_t;
    ulong lanes;
    explicit constexpr simd_vote(vote_t v = 0) : lanes(v) {}
    explicit constexpr operator vote_t() const { return lanes; }
    bool all() const { return lanes == 0xfffffffful; }
    bool any() const { return lanes != 0; }
};
inline ulong msl_votes(bool yes) { return (uint)__nvvm_vote_ballot_sync((uint)msl_all_lanes, yes); }
inline simd_vote simd_ballot(bool yes) { return simd_vote(msl_votes(yes)); }
inline bool simd_all(bool yes) { return __nvvm_vote_all_sync((uint)msl_all_lanes, yes); }
inline bool simd_any(bool yes) { return __nvvm_vote_any_sync((uint)msl_all_lanes, yes); }
inline bool simd_is_first() { return msl_lane() == 0; }
inline simd_vote simd_active_threads_mask() { return simd_vote(0xfffffffful); }
}
