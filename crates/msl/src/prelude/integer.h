// Functions of integers and their bits, for each integer type and its vectors.
#pragma once

namespace metal {
template <class V>
using msl_if_integer = enable_if_t<is_integral<typename msl_element<V>::type>::value && !__is_same(V, bool), int>;

// `E` is the element type, `bits` its width; a, b and c are one element of each argument.
#define MSL_BITS_FUNCTION(name, expression, parameters)                   \
    template <class E> inline E msl_one_##name parameters {                                           \
        constexpr int bits = 8 * sizeof(E);                                                           \
        (void)bits;                                                                                   \
        return (E)(expression);                                                                       \
    }
#define MSL_BITS_1(name, expression)                                                                  \
    MSL_BITS_FUNCTION(name, expression, (E a))                                                  \
    template <class T, class V = msl_value_t<T>, msl_if_integer<V> = 0> inline V name(T first) {      \
        V v = first;                                                                                  \
        if constexpr (msl_is_vector<V>::value) {                                                      \
            MSL_EACH(V::length, v.components[i] = msl_one_##name(v.components[i]))                    \
            return v;                                                                                 \
        } else return msl_one_##name(v);                                                              \
    }
#define MSL_BITS_2(name, expression)                                                                  \
    MSL_BITS_FUNCTION(name, expression, (E a, E b))                                             \
    template <class T, class V = msl_value_t<T>, msl_if_integer<V> = 0> inline V name(T first, T second) { \
        V v = first, w = second;                                                                      \
        if constexpr (msl_is_vector<V>::value) {                                                      \
            MSL_EACH(V::length, v.components[i] = msl_one_##name(v.components[i], w.components[i]))   \
            return v;                                                                                 \
        } else return msl_one_##name(v, w);                                                           \
    }
#define MSL_BITS_3(name, expression)                                                                  \
    MSL_BITS_FUNCTION(name, expression, (E a, E b, E c))                                        \
    template <class T, class V = msl_value_t<T>, msl_if_integer<V> = 0> inline V name(T first, T second, T third) { \
        V u = first, v = second, w = third;                                                           \
        if constexpr (msl_is_vector<V>::value) {                                                      \
            MSL_EACH(V::length, u.components[i] = msl_one_##name(u.components[i], v.components[i], w.components[i])) \
            return u;                                                                                 \
        } else return msl_one_##name(u, v, w);                                                        \
    }

template <class E> inline ulong msl_zero_extended(E a) { return (ulong)(make_unsigned_t<E>)a; }
template <class E> inline E msl_reversed(E a) {
    ulong from = msl_zero_extended(a), to = 0;
    for (uint i = 0; i < 8 * sizeof(E); i++) to |= ((from >> i) & 1) << (8 * sizeof(E) - 1 - i);
    return (E)to;
}
// The upper half of the product.
template <class E> inline E msl_high_product(E a, E b) {
    if constexpr (sizeof(E) == 8) {
        if constexpr (is_signed<E>::value) return (E)(((__int128)a * b) >> 64);
        else return (E)(((unsigned __int128)a * b) >> 64);
    } else if constexpr (is_signed<E>::value) return (E)(((long)a * (long)b) >> (8 * sizeof(E)));
    else return (E)(((ulong)a * (ulong)b) >> (8 * sizeof(E)));
}
template <class E> inline E msl_saturating_sum(E a, E b) {
    E sum;
    if (!__builtin_add_overflow(a, b, &sum)) return sum;
    return is_signed<E>::value && b < 0 ? numeric_limits<E>::min() : numeric_limits<E>::max();
}
template <class E> inline E msl_saturating_difference(E a, E b) {
    E difference;
    if (!__builtin_sub_overflow(a, b, &difference)) return difference;
    return is_signed<E>::value && b < 0 ? numeric_limits<E>::max() : numeric_limits<E>::min();
}

MSL_BITS_1(popcount, __builtin_popcountl(msl_zero_extended(a)))
MSL_BITS_1(clz, a == 0 ? bits : __builtin_clzl(msl_zero_extended(a)) - (64 - bits))
MSL_BITS_1(ctz, a == 0 ? bits : __builtin_ctzl(msl_zero_extended(a)))
MSL_BITS_1(reverse_bits, msl_reversed(a))
MSL_BITS_2(mulhi, msl_high_product(a, b))
MSL_BITS_2(mul24, a * b)
MSL_BITS_2(addsat, msl_saturating_sum(a, b))
MSL_BITS_2(subsat, msl_saturating_difference(a, b))
MSL_BITS_2(absdiff, a > b ? a - b : b - a)
MSL_BITS_2(hadd, (a >> 1) + (b >> 1) + (a & b & 1))
MSL_BITS_2(rhadd, (a >> 1) + (b >> 1) + ((a | b) & 1))
MSL_BITS_2(rotate, (msl_zero_extended(a) << (b & (bits - 1))) | (msl_zero_extended(a) >> ((bits - (b & (bits - 1))) & (bits - 1))))
MSL_BITS_3(mad24, a * b + c)
MSL_BITS_3(madhi, msl_high_product(a, b) + c)
MSL_BITS_3(madsat, msl_saturating_sum((E)(a * b), c))

// `count` bits of x from bit `offset` up; the highest is the sign if T has one.
template <class T, msl_if_integer<T> = 0> inline T extract_bits(T x, uint offset, uint count) {
    if (count == 0) return (T)0;
    constexpr uint bits = 8 * sizeof(typename msl_element<T>::type);
    return (T)((T)(x << (T)(bits - offset - count)) >> (T)(bits - count));
}
// `base` with `count` bits from bit `offset` up taken from the lowest of `insert`.
template <class T, msl_if_integer<T> = 0> inline T insert_bits(T base, T insert, uint offset, uint count) {
    constexpr uint bits = 8 * sizeof(typename msl_element<T>::type);
    const ulong ones = count >= bits ? ~0ul : (1ul << count) - 1;
    const T mask = (T)(typename msl_element<T>::type)(ones << offset);
    return (T)((base & ~mask) | ((insert << (T)offset) & mask));
}
#undef MSL_BITS_1
#undef MSL_BITS_2
#undef MSL_BITS_3
#undef MSL_BITS_FUNCTION
}
