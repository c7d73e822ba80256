// Type traits, and the few of our own that the rest of the prelude needs.
#pragma once

namespace metal {
template <class T, T v> struct integral_constant {
    static constexpr __constant T value = v;
    using value_type = T;
    constexpr operator T() const { return v; }
};
template <bool b> using bool_constant = integral_constant<bool, b>;
using true_type = bool_constant<true>;
using false_type = bool_constant<false>;

template <bool b, class T = void> struct enable_if {};
template <class T> struct enable_if<true, T> { using type = T; };
template <bool b, class T = void> using enable_if_t = typename enable_if<b, T>::type;
template <bool b, class A, class B> struct conditional { using type = A; };
template <class A, class B> struct conditional<false, A, B> { using type = B; };
template <bool b, class A, class B> using conditional_t = typename conditional<b, A, B>::type;

// A type without the memory space that an expression of it may carry.
template <class T> struct msl_plain { using type = T; };
template <class T> struct msl_plain<__private T> { using type = T; };
template <class T> struct msl_plain<__global T> { using type = T; };
template <class T> struct msl_plain<__local T> { using type = T; };
template <class T> struct msl_plain<device T> { using type = T; };
template <class T> struct msl_plain<__constant T> { using type = T; };
template <class T> struct msl_plain<__generic T> { using type = T; };

template <class T> struct msl_without_const { using type = T; };
template <class T> struct msl_without_const<const T> { using type = T; };
template <class T> struct msl_without_volatile { using type = T; };
template <class T> struct msl_without_volatile<volatile T> { using type = T; };
template <class T> struct remove_cv {
    using type = typename msl_without_const<typename msl_without_volatile<typename msl_plain<T>::type>::type>::type;
};
template <class T> using remove_cv_t = typename remove_cv<T>::type;
template <class T> struct remove_const { using type = typename msl_without_const<T>::type; };
template <class T> using remove_const_t = typename remove_const<T>::type;
template <class T> struct remove_reference { using type = T; };
template <class T> struct remove_reference<T&> { using type = T; };
template <class T> struct remove_reference<T&&> { using type = T; };
template <class T> using remove_reference_t = typename remove_reference<T>::type;
template <class T> struct decay { using type = remove_cv_t<remove_reference_t<T>>; };
template <class T> using decay_t = typename decay<T>::type;

template <class A, class B> struct is_same : bool_constant<__is_same(typename msl_plain<A>::type, typename msl_plain<B>::type)> {};
template <class A, class B> constexpr __constant bool is_same_v = is_same<A, B>::value;
template <class A, class B> struct is_convertible : bool_constant<__is_convertible_to(A, B)> {};
template <class A, class B> constexpr __constant bool is_convertible_v = is_convertible<A, B>::value;

template <class T> struct msl_is_float : false_type {};
template <> struct msl_is_float<float> : true_type {};
template <> struct msl_is_float<half> : true_type {};
template <> struct msl_is_float<bfloat> : true_type {};
template <class T> struct is_floating_point : msl_is_float<remove_cv_t<T>> {};
template <class T> constexpr __constant bool is_floating_point_v = is_floating_point<T>::value;
template <class T> struct is_integral : bool_constant<__is_integral(remove_cv_t<T>)> {};
template <class T> constexpr __constant bool is_integral_v = is_integral<T>::value;
template <class T> struct is_arithmetic : bool_constant<is_integral<T>::value || is_floating_point<T>::value> {};
template <class T> constexpr __constant bool is_arithmetic_v = is_arithmetic<T>::value;
template <class T> struct is_unsigned : bool_constant<__is_unsigned(remove_cv_t<T>)> {};
template <class T> constexpr __constant bool is_unsigned_v = is_unsigned<T>::value;
template <class T> struct is_signed : bool_constant<__is_signed(remove_cv_t<T>) || is_floating_point<T>::value> {};
template <class T> constexpr __constant bool is_signed_v = is_signed<T>::value;
template <class T> struct make_unsigned { using type = __make_unsigned(T); };
template <class T> using make_unsigned_t = typename make_unsigned<T>::type;
template <class T> struct make_signed { using type = __make_signed(T); };
template <class T> using make_signed_t = typename make_signed<T>::type;
}

// Metal's headers are C++ without names that begin with msl_, so these can stay out of the namespace.
template <class S>
using msl_if_scalar = metal::enable_if_t<metal::is_arithmetic<S>::value || __is_enum(S), int>;
