// MSL -> C++ for OpenCL prelude (prototype).  Compiled with: clang -x clcpp -cl-std=CLC++2021
#pragma once
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#pragma OPENCL EXTENSION __cl_clang_function_pointers : enable
// ---- address spaces: four mutually-checked LangAS; x86 maps them all onto AS 0 -------------------
#define device      __attribute__((opencl_global_device))
#define constant    const __global
#define threadgroup __local
#define thread      __private
#define __msl_q_device __global
#define __msl_q_constant __constant
#define ray_data __private
#define __msl_cthread
#define kernel
#define local msl_id_local
#define global msl_id_global
#define generic msl_id_generic
#define read_only msl_id_ro
#define write_only msl_id_wo
#define read_write msl_id_rw
#define pipe msl_id_pipe
#define assert(x) ((void)0)
#define atomic_int msl_atomic_int
#define atomic_uint msl_atomic_uint
#define atomic_float msl_atomic_float
#define atomic_ulong msl_atomic_ulong
#define atomic_bool msl_atomic_bool
#define coherent(...)
#define __METAL_FAST_MATH__ 1
#define __METAL_PRECISE_MATH__ 2
#define __METAL_MAYBE_FAST_MATH__ 0
#define event_t msl_event_t
#define sampler_t msl_sampler_t
typedef unsigned char uchar; typedef unsigned short ushort; typedef unsigned int uint; typedef unsigned long ulong;
typedef signed char int8_t; typedef short int16_t; typedef int int32_t; typedef long int64_t;
typedef uchar uint8_t; typedef ushort uint16_t; typedef uint uint32_t; typedef ulong uint64_t; typedef __SIZE_TYPE__ size_t; typedef long ptrdiff_t; typedef ulong uintptr_t; typedef long intptr_t;
typedef __bf16 bfloat; typedef float float32_t;
#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")
#define HUGE_VALF __builtin_huge_valf()
#define FLT_MAX 3.402823466e+38f
#define FLT_MIN 1.175494351e-38f
#define FLT_EPSILON 1.192092896e-07f
#define HALF_MAX ((half)65504.0f)
#define MAXHALF ((half)65504.0f)
#define MAXFLOAT FLT_MAX
#define M_PI_F 3.14159265358979323846f
#define M_PI_2_F 1.57079632679489661923f
#define M_PI_4_F 0.78539816339744830962f
#define M_1_PI_F 0.31830988618379067154f
#define M_2_SQRTPI_F 1.12837916709551257390f
#define M_SQRT2_F 1.41421356237309504880f
#define M_SQRT1_2_F 0.70710678118654752440f
#define M_E_F 2.71828182845904523536f
#define M_LOG2E_F 1.44269504088896340736f
#define M_LN2_F 0.69314718055994530942f
#define M_LN10_F 2.30258509299404568402f
#define M_PI_H ((half)3.14159265f)
#define INT_MAX 0x7fffffff
#define INT_MIN (-0x7fffffff-1)
#define UINT_MAX 0xffffffffu
#define CHAR_BIT 8
// ---- runtime ABI ---------------------------------------------------------------------------------
struct msl_launch { __private void* const __private* buffers; __private void* const __private* threadgroup_memory; uint values[18][4]; };   // v: builtin values, index == BCODE
extern "C" {
  void* msl_tg_var(uint site, ulong size, __constant const char* name);   // threadgroup variable storage
  struct __msl_x { ulong mask; ulong pad; char slot[32][128]; };
  __private __msl_x* msl_xchg(uint kind, const void* in, uint n);       // simdgroup rendezvous: deposit, wait, see all lanes
  void msl_simd_wait(uint kind);                                        // rendezvous without data
  uint msl_lane();
  void msl_tg_barrier(uint flags);
  void msl_copy(void*, const void*, ulong);                             // race/OOB-checked copy
  uint msl_atomic(uint op, uint bytes, void* p, ulong v, ulong cmp, __private ulong* old);
  int msl_fc_isdef(int);
  void msl_fail(__constant const char*);
  float expf(float), exp2f(float), exp10f(float), logf(float), log2f(float), log10f(float), sinf(float), cosf(float), tanf(float), asinf(float), acosf(float), atanf(float), sinhf(float), coshf(float), tanhf(float), asinhf(float), acoshf(float), atanhf(float), sqrtf(float), floorf(float), ceilf(float), roundf(float), rintf(float), truncf(float), fabsf(float), powf(float,float), fmodf(float,float), atan2f(float,float), fmaf(float,float,float), ldexpf(float,int), copysignf(float,float), fminf(float,float), fmaxf(float,float), nextafterf(float,float), erff(float), fdimf(float,float);
}
template<class T> inline __local T& msl_threadgroup(uint site, __constant const char* name){ return *(__local T*)(ulong)msl_tg_var(site,sizeof(T),name); }
#define MSL_EXPORT __attribute__((visibility("default")))
// ---- traits ---------------------------------------------------------------------------------------
namespace metal {
template<class T,T v> struct integral_constant{ static constexpr __constant T value=v; constexpr operator T() const {return v;} using value_type=T; };
template<bool b> using bool_constant=integral_constant<bool,b>; using true_type=bool_constant<true>; using false_type=bool_constant<false>;
template<class T> struct __ras{using t=T;}; template<class T> struct __ras<__private T>{using t=T;}; template<class T> struct __ras<__global T>{using t=T;}; template<class T> struct __ras<__local T>{using t=T;}; template<class T> struct __ras<device T>{using t=T;}; template<class T> struct __ras<__constant T>{using t=T;}; template<class T> struct __ras<__generic T>{using t=T;};
template<class T> struct remove_const{using type=T;}; template<class T> struct remove_const<const T>{using type=T;};
template<class T> struct remove_volatile{using type=T;}; template<class T> struct remove_volatile<volatile T>{using type=T;};
template<class T> struct remove_cv{using type=typename remove_const<typename remove_volatile<typename __ras<T>::t>::type>::type;}; template<class T> using remove_cv_t=typename remove_cv<T>::type;
template<class T> struct __rr{using t=T;}; template<class T> struct __rr<T&>{using t=T;}; template<class T> struct __rr<T&&>{using t=T;};
template<class T> struct remove_reference{using type=typename __rr<T>::t;}; template<class T> using remove_reference_t=typename remove_reference<T>::type; template<class T> using remove_const_t=typename remove_const<T>::type;
template<class T> using decay_t=remove_cv_t<remove_reference_t<T>>; template<class T> struct decay{using type=decay_t<T>;};
template<class A,class B> struct __same{static constexpr __constant bool value=false;}; template<class A> struct __same<A,A>{static constexpr __constant bool value=true;};
template<class A,class B> struct is_same:bool_constant<__is_same(typename __ras<A>::t,typename __ras<B>::t)>{}; template<class A,class B> constexpr __constant bool is_same_v=is_same<A,B>::value;
template<class A,class B> struct is_convertible:bool_constant<__is_convertible_to(A,B)>{}; template<class A,class B> constexpr __constant bool is_convertible_v=is_convertible<A,B>::value;
template<bool b,class T=void> struct enable_if{}; template<class T> struct enable_if<true,T>{using type=T;}; template<bool b,class T=void> using enable_if_t=typename enable_if<b,T>::type;
template<bool b,class A,class B> struct conditional{using type=A;}; template<class A,class B> struct conditional<false,A,B>{using type=B;}; template<bool b,class A,class B> using conditional_t=typename conditional<b,A,B>::type;
template<class T> struct __isf:false_type{}; template<> struct __isf<float>:true_type{}; template<> struct __isf<half>:true_type{}; template<> struct __isf<bfloat>:true_type{};
template<class T> struct is_floating_point:__isf<remove_cv_t<T>>{}; template<class T> constexpr __constant bool is_floating_point_v=is_floating_point<T>::value;
template<class T> struct is_integral:bool_constant<__is_integral(remove_cv_t<T>)>{}; template<class T> constexpr __constant bool is_integral_v=is_integral<T>::value;
template<class T> struct is_arithmetic:bool_constant<is_integral<T>::value||is_floating_point<T>::value>{}; template<class T> constexpr __constant bool is_arithmetic_v=is_arithmetic<T>::value;
template<class T> struct is_unsigned:bool_constant<__is_unsigned(remove_cv_t<T>)>{}; template<class T> constexpr __constant bool is_unsigned_v=is_unsigned<T>::value;
template<class T> struct is_signed:bool_constant<__is_signed(remove_cv_t<T>)||is_floating_point<T>::value>{}; template<class T> constexpr __constant bool is_signed_v=is_signed<T>::value;
template<class T> struct is_class:bool_constant<__is_class(T)>{}; template<class T> struct is_enum:bool_constant<__is_enum(T)>{}; template<class T> struct is_trivially_copyable:bool_constant<__is_trivially_copyable(T)>{};
template<class A,class B> struct is_base_of:bool_constant<__is_base_of(A,B)>{};
template<class T> T declval();
template<class T> struct make_unsigned{using type=__make_unsigned(T);}; template<class T> using make_unsigned_t=typename make_unsigned<T>::type; template<class T> struct make_signed{using type=__make_signed(T);}; template<class T> using make_signed_t=typename make_signed<T>::type;
template<class T,T...I> struct integer_sequence{}; template<size_t...I> using index_sequence=integer_sequence<size_t,I...>; template<size_t N> using make_index_sequence=__make_integer_seq<integer_sequence,size_t,N>;
}
// ---- vectors ---------------------------------------------------------------------------------------
namespace metal { template<class T,int N> struct vec; }
template<class V,class T,int N,int A,int B,int C=-1,int D=-1> struct __msl_swz;
template<class V,class T,int N,int A,int B,int C,int D> struct __msl_swz { T s[N];
  constexpr operator V() const { V r; r.__d[0]=s[A]; r.__d[1]=s[B]; if constexpr(C>=0) r.__d[2]=s[C]; if constexpr(D>=0) r.__d[3]=s[D]; return r; }
  constexpr void __set(const V& o){ s[A]=o.__d[0]; s[B]=o.__d[1]; if constexpr(C>=0) s[C]=o.__d[2]; if constexpr(D>=0) s[D]=o.__d[3]; }
  __msl_swz& operator=(const V& o){ V t(o); __set(t); return *this; }
  __msl_swz& operator=(const __msl_swz& o){ V t=(V)o; __set(t); return *this; }
#define __O(op) __msl_swz& operator op##=(const V& o){ V t=(V)*this op o; __set(t); return *this; }
  __O(+) __O(-) __O(*) __O(/) __O(|) __O(&) __O(^)
#undef __O
  T operator[](uint i) const { V r=*this; return r[i]; }
};
namespace metal {
template<class T> struct __isvec:false_type{}; template<class T,int N> struct __isvec<vec<T,N>>:true_type{};
template<class S> using __sc=enable_if_t<is_arithmetic<S>::value||__is_enum(S),int>;
#define __X2(n,mx,a,b)     __msl_swz<vec<T,2>,T,NN,a,b> n;
#define __X3(n,mx,a,b,c)   __msl_swz<vec<T,3>,T,NN,a,b,c> n;
#define __X4(n,mx,a,b,c,d) __msl_swz<vec<T,4>,T,NN,a,b,c,d> n;
#define __OPS(N) \
  __VOP(+,N) __VOP(-,N) __VOP(*,N) __VOP(/,N) __VOP(%,N) __VOP(&,N) __VOP(|,N) __VOP(^,N) __VOP(<<,N) __VOP(>>,N) \
  __VCMP(<,N) __VCMP(>,N) __VCMP(<=,N) __VCMP(>=,N) __VCMP(==,N) __VCMP(!=,N) __VCMP(&&,N) __VCMP(||,N) \
  friend constexpr vec operator-(const vec& a){ vec r; for(int i=0;i<N;i++) r.__d[i]=(T)-a.__d[i]; return r; } \
  friend constexpr vec operator+(const vec& a){ return a; } \
  friend constexpr vec operator~(const vec& a){ vec r; for(int i=0;i<N;i++) r.__d[i]=(T)~a.__d[i]; return r; } \
  friend constexpr vec<bool,N> operator!(const vec& a){ vec<bool,N> r; for(int i=0;i<N;i++) r.__d[i]=!a.__d[i]; return r; } \
  T& operator[](uint i){ return __d[i]; } const T& operator[](uint i) const { return __d[i]; } \
  vec& operator++(){ for(int i=0;i<N;i++) ++__d[i]; return *this; } vec operator++(int){ vec r(*this); ++*this; return r; } \
  vec& operator--(){ for(int i=0;i<N;i++) --__d[i]; return *this; }
#define __VOP(op,N) friend constexpr vec operator op(const vec& a,const vec& b){ vec r; for(int i=0;i<N;i++) r.__d[i]=(T)(a.__d[i] op b.__d[i]); return r; } \
  constexpr vec& operator op##=(const vec& b){ for(int i=0;i<N;i++) __d[i]=(T)(__d[i] op b.__d[i]); return *this; }
#define __VCMP(op,N) friend constexpr vec<bool,N> operator op(const vec& a,const vec& b){ vec<bool,N> r; for(int i=0;i<N;i++) r.__d[i]=(a.__d[i] op b.__d[i]); return r; }
#define __COMMON(N) vec()=default; \
  template<class S,__sc<S> =0> constexpr vec(S s){ for(int i=0;i<N;i++) __d[i]=(T)s; } \
  vec(const vec& o)=default; \
  constexpr vec& operator=(const vec& o){ for(int i=0;i<N;i++) __d[i]=o.__d[i]; return *this; } \
  template<class U> explicit constexpr vec(const vec<U,N>& o){ for(int i=0;i<N;i++) if constexpr(sizeof(U)==2&&sizeof(T)==2&&!__is_same(T,U)) __d[i]=(T)(float)o.__d[i]; else __d[i]=(T)o.__d[i]; } \
  template<class V,class U,int M,int A,int B,int C,int D> explicit constexpr vec(const __msl_swz<V,U,M,A,B,C,D>& o):vec((V)o){}
template<class T> struct alignas(2*sizeof(T)) vec<T,2>{ static constexpr __constant int NN=2; union{ T __d[2]; struct{T x,y;}; struct{T r,g;};
#define X(n,mx,...) __msl_pick##mx(__X2,n,mx,__VA_ARGS__)
#define __msl_pick0(M,...) M(__VA_ARGS__)
#define __msl_pick1(M,...) M(__VA_ARGS__)
#define __msl_pick2(M,...)
#define __msl_pick3(M,...)
  MSL_SWIZZLES_2(X)
#undef X
#define X(n,mx,...) __msl_pick##mx(__X3,n,mx,__VA_ARGS__)
  MSL_SWIZZLES_3(X)
#undef X
#define X(n,mx,...) __msl_pick##mx(__X4,n,mx,__VA_ARGS__)
  MSL_SWIZZLES_4(X)
#undef X
#undef __msl_pick2
#define __msl_pick2(M,...) M(__VA_ARGS__)
  }; __COMMON(2) constexpr vec(T a,T b):__d{a,b}{} __OPS(2) };
template<class T> struct alignas(4*sizeof(T)) vec<T,3>{ static constexpr __constant int NN=3; union{ T __d[3]; struct{T x,y,z;}; struct{T r,g,b;};
#define X(n,mx,...) __msl_pick##mx(__X2,n,mx,__VA_ARGS__)
  MSL_SWIZZLES_2(X)
#undef X
#define X(n,mx,...) __msl_pick##mx(__X3,n,mx,__VA_ARGS__)
  MSL_SWIZZLES_3(X)
#undef X
#undef __msl_pick3
#define __msl_pick3(M,...) M(__VA_ARGS__)
  }; __COMMON(3) constexpr vec(T a,T b,T c):__d{a,b,c}{} constexpr vec(vec<T,2> a,T b):__d{a.x,a.y,b}{} constexpr vec(T a,vec<T,2> b):__d{a,b.x,b.y}{} __OPS(3) };
template<class T> struct alignas(4*sizeof(T)) vec<T,4>{ static constexpr __constant int NN=4; union{ T __d[4]; struct{T x,y,z,w;}; struct{T r,g,b,a;};
#define X(n,mx,...) __msl_pick##mx(__X2,n,mx,__VA_ARGS__)
  MSL_SWIZZLES_2(X)
#undef X
#define X(n,mx,...) __msl_pick##mx(__X3,n,mx,__VA_ARGS__)
  MSL_SWIZZLES_3(X)
#undef X
#define X(n,mx,...) __msl_pick##mx(__X4,n,mx,__VA_ARGS__)
  MSL_SWIZZLES_4(X)
#undef X
  }; __COMMON(4) constexpr vec(T a,T b,T c,T d):__d{a,b,c,d}{} constexpr vec(vec<T,2> a,vec<T,2> b):__d{a.x,a.y,b.x,b.y}{} constexpr vec(vec<T,2> a,T b,T c):__d{a.x,a.y,b,c}{} constexpr vec(T a,vec<T,2> b,T c):__d{a,b.x,b.y,c}{} constexpr vec(T a,T b,vec<T,2> c):__d{a,b,c.x,c.y}{} constexpr vec(vec<T,3> a,T b):__d{a.x,a.y,a.z,b}{} constexpr vec(T a,vec<T,3> b):__d{a,b.x,b.y,b.z}{} __OPS(4) };
}
using metal::vec;
#define __VT(t) typedef metal::vec<t,2> t##2; typedef metal::vec<t,3> t##3; typedef metal::vec<t,4> t##4; namespace metal { using ::t##2; using ::t##3; using ::t##4; }
__VT(float) __VT(half) __VT(bfloat) __VT(char) __VT(uchar) __VT(short) __VT(ushort) __VT(int) __VT(uint) __VT(long) __VT(ulong) __VT(bool)
namespace metal { template<class T,int N> struct __pst{T __d[N];}; template<class T> struct __pst<T,2>{union{T __d[2];struct{T x,y;};};}; template<class T> struct __pst<T,3>{union{T __d[3];struct{T x,y,z;};};}; template<class T> struct __pst<T,4>{union{T __d[4];struct{T x,y,z,w;};};};
template<class T,int N> struct packed_vec:__pst<T,N> { using __pst<T,N>::__d; packed_vec()=default; packed_vec(const vec<T,N>& v){for(int i=0;i<N;i++)__d[i]=v.__d[i];} template<class S,__sc<S> =0> packed_vec(S s):packed_vec(vec<T,N>(s)){} template<class... S,enable_if_t<sizeof...(S)==N&&(N>1),int> =0> packed_vec(S... s){ T t[N]={(T)s...}; for(int i=0;i<N;i++)__d[i]=t[i]; } operator vec<T,N>() const {vec<T,N> r; for(int i=0;i<N;i++)r.__d[i]=__d[i]; return r;} template<class U,enable_if_t<!__is_same(U,T),int> =0> explicit operator vec<U,N>() const {return vec<U,N>((vec<T,N>)*this);} T& operator[](uint i){return __d[i];} const T& operator[](uint i) const {return __d[i];} }; }
#define __PT(t) typedef metal::packed_vec<t,2> packed_##t##2; typedef metal::packed_vec<t,3> packed_##t##3; typedef metal::packed_vec<t,4> packed_##t##4;
__PT(float) __PT(half) __PT(bfloat) __PT(char) __PT(uchar) __PT(short) __PT(ushort) __PT(int) __PT(uint)
namespace metal { using ::uint; using ::ushort; using ::uchar; using ::ulong; using ::bfloat; using ::size_t; using ::uint8_t; using ::uint16_t; using ::uint32_t; using ::uint64_t; using ::int8_t; using ::int16_t; using ::int32_t; using ::int64_t;
template<class T> struct __vt{ using e=T; static constexpr __constant int n=1; template<class U> using re=U; }; template<class T,int N> struct __vt<vec<T,N>>{ using e=T; static constexpr __constant int n=N; template<class U> using re=vec<U,N>; };
template<class T> struct vec_elements{static constexpr __constant int value=__vt<T>::n;};
template<class T,int C,int R> struct matrix { vec<T,R> columns[C]; matrix()=default; explicit matrix(T s){ for(int i=0;i<C;i++)for(int j=0;j<R;j++)columns[i].__d[j]=i==j?s:(T)0; } template<class...V,enable_if_t<sizeof...(V)==C&&(C>1),int> =0> matrix(V... v):columns{vec<T,R>(v)...}{} template<class U> explicit matrix(const matrix<U,C,R>& o){ for(int i=0;i<C;i++) columns[i]=vec<T,R>(o.columns[i]); } matrix(const matrix&)=default;
  vec<T,R>& operator[](uint i){return columns[i];} const vec<T,R>& operator[](uint i) const {return columns[i];}
  friend matrix operator*(const matrix&a,T s){matrix r;for(int i=0;i<C;i++)r[i]=a[i]*s;return r;} friend matrix operator*(T s,const matrix&a){return a*s;} friend matrix operator+(const matrix&a,const matrix&b){matrix r;for(int i=0;i<C;i++)r[i]=a[i]+b[i];return r;} friend matrix operator-(const matrix&a,const matrix&b){matrix r;for(int i=0;i<C;i++)r[i]=a[i]-b[i];return r;}
  friend vec<T,C> operator*(const vec<T,R>&v,const matrix&a){vec<T,C> r;for(int i=0;i<C;i++){T s=0;for(int j=0;j<R;j++)s+=v.__d[j]*a.columns[i].__d[j];r.__d[i]=s;}return r;}
  friend vec<T,R> operator*(const matrix&a,const vec<T,C>&v){vec<T,R> r((T)0);for(int i=0;i<C;i++)r+=a[i]*v.__d[i];return r;} };
}
#define __MT(t) typedef metal::matrix<t,2,2> t##2x2; typedef metal::matrix<t,2,3> t##2x3; typedef metal::matrix<t,2,4> t##2x4; typedef metal::matrix<t,3,3> t##3x3; typedef metal::matrix<t,3,4> t##3x4; typedef metal::matrix<t,4,4> t##4x4; typedef metal::matrix<t,4,2> t##4x2; typedef metal::matrix<t,4,3> t##4x3; typedef metal::matrix<t,3,2> t##3x2; namespace metal { using ::t##4x4; using ::t##2x4; using ::t##3x3; using ::t##2x2; }
__MT(float) __MT(half)
template<class To,class From> inline To as_type(const From& f){ static_assert(sizeof(To)==sizeof(From),"as_type: size mismatch"); To t; __builtin_memcpy(&t,&f,sizeof(To)); return t; }
template<class T> constexpr typename metal::__ras<T>::t __msl_rv(const T& v){ return v; }
template<class T,size_t N> inline __local T* __msl_rv(__local T (&v)[N]){ return v; } template<class T,size_t N> inline __private T* __msl_rv(__private T (&v)[N]){ return v; } template<class T,size_t N> inline const __global T* __msl_rv(const __global T (&v)[N]){ return v; }
// ---- math -----------------------------------------------------------------------------------------
namespace metal {
template<class T> struct __ft{using t=float;};
template<class T> using __fv=enable_if_t<is_floating_point<typename __vt<T>::e>::value,int>;
template<class F,class T> inline T __map1(F f,T a){ if constexpr(__isvec<T>::value){ T r; using E=typename __vt<T>::e; for(int i=0;i<__vt<T>::n;i++) r.__d[i]=(E)f((float)a.__d[i]); return r; } else return (T)f((float)a); }
#define __M1(name,expr) template<class T,__fv<T> =0> inline T name(T a){ return __map1([](float x){ return (float)(expr); },a); } template<class V,class T,int N,int A,int B,int C,int D> inline V name(const __msl_swz<V,T,N,A,B,C,D>& s){ return name((V)s); } template<class I,enable_if_t<is_integral<I>::value,int> =0> inline float name(I a){ return name((float)a); }
#define __MATH1 __M1(exp,expf(x)) __M1(exp2,exp2f(x)) __M1(exp10,exp10f(x)) __M1(log,logf(x)) __M1(log2,log2f(x)) __M1(log10,log10f(x)) __M1(sin,sinf(x)) __M1(cos,cosf(x)) __M1(tan,tanf(x)) __M1(asin,asinf(x)) __M1(acos,acosf(x)) __M1(atan,atanf(x)) __M1(sinh,sinhf(x)) __M1(cosh,coshf(x)) __M1(tanh,tanhf(x)) __M1(asinh,asinhf(x)) __M1(acosh,acoshf(x)) __M1(atanh,atanhf(x)) __M1(sqrt,__builtin_sqrtf(x)) __M1(rsqrt,1.0f/__builtin_sqrtf(x)) __M1(floor,__builtin_floorf(x)) __M1(ceil,__builtin_ceilf(x)) __M1(round,roundf(x)) __M1(rint,__builtin_rintf(x)) __M1(trunc,__builtin_truncf(x)) __M1(fract,x-__builtin_floorf(x)) __M1(sinpi,sinf(x*M_PI_F)) __M1(cospi,cosf(x*M_PI_F))
__MATH1 __M1(fabs,__builtin_fabsf(x)) __M1(saturate,x<0?0:(x>1?1:x)) __M1(sign,x>0?1:(x<0?-1:x))
#define __M2(name,expr) template<class A,class B,class R=typename __arith2<A,B>::t,enable_if_t<is_floating_point<typename __vt<R>::e>::value,int> =0> inline R name(A a,B b){ R p(a),q(b); if constexpr(__isvec<R>::value){ R r; using E=typename __vt<R>::e; for(int i=0;i<__vt<R>::n;i++){ float x=(float)p.__d[i],y=(float)q.__d[i]; r.__d[i]=(E)(expr);} return r; } else { float x=(float)p,y=(float)q; return (R)(expr); } }
template<class A> struct __unsw{using t=A;}; template<class V,class T,int N,int A,int B,int C,int D> struct __unsw<__msl_swz<V,T,N,A,B,C,D>>{using t=V;};
template<class A,class B,bool va=__isvec<A>::value,bool vb=__isvec<B>::value> struct __arith2_{ using t=typename __ras<decltype(true?A():B())>::t; }; // scalar/scalar
template<class A,class B> struct __arith2_<A,B,true,false>{using t=A;}; template<class A,class B> struct __arith2_<A,B,false,true>{using t=B;}; template<class A> struct __arith2_<A,A,true,true>{using t=A;};
template<> struct __arith2_<half,half,false,false>{using t=half;}; template<> struct __arith2_<bfloat,bfloat,false,false>{using t=bfloat;};
template<class A,class B> struct __arith2:__arith2_<typename __unsw<A>::t,typename __unsw<B>::t>{};
#define __MATH2 __M2(pow,powf(x,y)) __M2(powr,powf(x,y)) __M2(fmod,fmodf(x,y)) __M2(atan2,atan2f(x,y))
__MATH2 __M2(fmin,fminf(x,y)) __M2(fmax,fmaxf(x,y)) __M2(copysign,copysignf(x,y)) __M2(step,y<x?0.0f:1.0f) __M2(nextafter,nextafterf(x,y)) __M2(fdim,fdimf(x,y))
template<class A,class B> using __cmn=typename __arith2<A,B>::t;
#define __MM(name,op) template<class A,class B,class R=__cmn<A,B>> constexpr R name(A a,B b){ R p(a),q(b); if constexpr(__isvec<R>::value){ R r; for(int i=0;i<__vt<R>::n;i++){ auto x=p.__d[i],y=q.__d[i]; r.__d[i]= (y op x)||(x!=x)?y:x; } return r; } else return (q op p)||(p!=p)?q:p; }
__MM(min,<) __MM(max,>)
template<class A,class B,class C> constexpr auto min(A a,B b,C c){ return min(min(a,b),c); } template<class A,class B,class C> constexpr auto max(A a,B b,C c){ return max(max(a,b),c); }
template<class A,class B> inline auto min3(A a,B b,B c){return min(min(a,b),c);} template<class A,class B> inline auto max3(A a,B b,B c){return max(max(a,b),c);}
template<class T,class A,class B,class R=typename __unsw<T>::t> constexpr R clamp(T x,A lo,B hi){ return min(max(R(x),R(lo)),R(hi)); }
template<class T,class R=typename __unsw<T>::t> constexpr R abs(T a){ R p(a); if constexpr(__isvec<R>::value){ R r; for(int i=0;i<__vt<R>::n;i++) r.__d[i]=p.__d[i]<0?-p.__d[i]:p.__d[i]; return r; } else return p<(R)0?(R)-p:(p==(R)0?(R)0:p); }
template<class A,class B,class C,class R=__cmn<__cmn<A,B>,C>> inline R fma(A a,B b,C c){ R p(a),q(b),s(c); if constexpr(__isvec<R>::value){ R r; using E=typename __vt<R>::e; for(int i=0;i<__vt<R>::n;i++) r.__d[i]=(E)__builtin_fmaf((float)p.__d[i],(float)q.__d[i],(float)s.__d[i]); return r; } else return (R)__builtin_fmaf((float)p,(float)q,(float)s); }
template<class A,class B,class C> inline auto mix(A a,B b,C t){ using R=__cmn<A,B>; return R(a)+(R(b)-R(a))*R(t); }
template<class T> inline T smoothstep(T a,T b,T x){ T t=clamp((x-a)/(b-a),T(0),T(1)); return t*t*(T(3)-T(2)*t); }
template<class A,class B,class C> constexpr auto select(A a,B b,C c){ using R=__cmn<A,B>; R p(a),q(b); if constexpr(__isvec<R>::value){ R r; for(int i=0;i<__vt<R>::n;i++) r.__d[i]=c.__d[i]?q.__d[i]:p.__d[i]; return r; } else return c?q:p; }
#define __PRED(name,expr) template<class T,enable_if_t<!__isvec<T>::value,int> =0> constexpr bool name(T v){ float x=(float)v; return expr; } template<class T,int N> constexpr vec<bool,N> name(vec<T,N> v){ vec<bool,N> r; for(int i=0;i<N;i++) r.__d[i]=name(v.__d[i]); return r; }
__PRED(isnan,x!=x) __PRED(isinf,__builtin_isinf(x)) __PRED(isfinite,__builtin_isfinite(x)) __PRED(signbit,__builtin_signbit(x))
template<int N> constexpr bool all(vec<bool,N> v){ for(int i=0;i<N;i++) if(!v.__d[i]) return false; return true; } template<int N> constexpr bool any(vec<bool,N> v){ for(int i=0;i<N;i++) if(v.__d[i]) return true; return false; } constexpr bool all(bool b){return b;} constexpr bool any(bool b){return b;}
template<class A,class B> inline auto __dot(A a,B b){ typename __vt<A>::e s=0; for(int i=0;i<__vt<A>::n;i++) s=s+a.__d[i]*b.__d[i]; return s; }
template<class A,class B> inline auto dot(A a,B b){ using R=__cmn<A,B>; return __dot(R(a),R(b)); }
template<class A> inline auto length_squared(A a){return dot(a,a);} template<class A> inline auto length(A a){return sqrt(dot(a,a));} template<class A> inline A normalize(A a){return a*rsqrt(dot(a,a));} template<class A> inline auto distance(A a,A b){return length(a-b);}
template<class T> inline vec<T,3> cross(vec<T,3> a,vec<T,3> b){return vec<T,3>(a.y*b.z-a.z*b.y,a.z*b.x-a.x*b.z,a.x*b.y-a.y*b.x);}
template<class T> inline T ldexp(T x,int e){return (T)ldexpf((float)x,e);} 
template<class T> inline T sincos(T x,thread T& c){ c=cos(x); return sin(x);} template<class T> inline T modf(T x,thread T& i){ i=trunc(x); return x-i; }
template<class F,class T> constexpr T __imap(F f,T a){ if constexpr(__isvec<T>::value){ T r; for(int i=0;i<__vt<T>::n;i++) r.__d[i]=f(a.__d[i]); return r; } else return f(a); }
template<class T> constexpr T popcount(T a){ return __imap([](auto x){ return (decltype(x))__builtin_popcountll((ulong)(make_unsigned_t<remove_cv_t<decltype(x)>>)x); },a); }
template<class T> constexpr T clz(T a){ return __imap([](auto x){ ulong u=(make_unsigned_t<remove_cv_t<decltype(x)>>)x; return (decltype(x))(u?__builtin_clzll(u)-(64-8*(int)sizeof(x)):8*sizeof(x)); },a); }
template<class T> constexpr T ctz(T a){ return __imap([](auto x){ return (decltype(x))(x?__builtin_ctzll((ulong)x):8*sizeof(x)); },a); }
template<class T> constexpr T reverse_bits(T a){ return __imap([](auto x){ ulong u=0; for(int i=0;i<(int)(8*sizeof(x));i++) if(((ulong)x>>i)&1) u|=1ul<<(8*sizeof(x)-1-i); return (decltype(x))u; },a); }
template<class T> constexpr T mulhi(T a,T b){ if constexpr(sizeof(T)==8) return (T)(((unsigned __int128)a*(unsigned __int128)b)>>64); else return is_signed<T>::value?(T)(((long)a*(long)b)>>(8*sizeof(T))):(T)(((ulong)a*(ulong)b)>>(8*sizeof(T))); }
template<class T> constexpr T mad24(T a,T b,T c){return a*b+c;} template<class T> constexpr T mul24(T a,T b){return a*b;} template<class T> constexpr T absdiff(T a,T b){return a>b?a-b:b-a;} template<class T> constexpr T rotate(T a,T n){ constexpr int w=8*sizeof(T); n&=w-1; return n?(T)((a<<n)|(a>>(w-n))):a; } template<class T> constexpr T extract_bits(T x,uint o,uint n){ return (x>>o)&(T)((1ul<<n)-1); } template<class T> constexpr T insert_bits(T b,T ins,uint o,uint n){ T m=(T)(((1ul<<n)-1)<<o); return (b&~m)|((ins<<o)&m); }
template<class T> constexpr T addsat(T a,T b){ T r; return __builtin_add_overflow(a,b,&r)?~(T)0:r; } template<class T> constexpr T subsat(T a,T b){ return a<b?0:a-b; } template<class T> constexpr T divide(T a,T b){return a/b;}
namespace fast { using metal::fma; using metal::min; using metal::max; using metal::clamp; using metal::fabs; using metal::abs; __MATH1 __MATH2 using metal::fmin; using metal::fmax; template<class A,class B> inline auto divide(A a,B b){return a/b;} using metal::sincos; using metal::normalize; using metal::length; using metal::distance; using metal::saturate; }
namespace precise { using metal::fma; using metal::min; using metal::max; using metal::clamp; using metal::fabs; using metal::abs; __MATH1 __MATH2 using metal::fmin; using metal::fmax; template<class A,class B> inline auto divide(A a,B b){return a/b;} using metal::sincos; using metal::normalize; using metal::length; }
template<class A> inline A __mm_(A a){return a;}
template<class T> inline T fma_(T a,T b,T c){return fma(a,b,c);}
template<class T> struct numeric_limits{};
#define __NL(t,mn,mx,low,dg,sg,intg) template<> struct numeric_limits<t>{ static constexpr __constant bool is_signed=sg,is_integer=intg,has_infinity=!intg; static constexpr __constant int digits=dg; static constexpr t min(){return mn;} static constexpr t max(){return mx;} static constexpr t lowest(){return low;} static constexpr t infinity(){return (t)__builtin_inff();} static constexpr t quiet_NaN(){return (t)__builtin_nanf("");} static constexpr t epsilon(){ return (t)(intg?0.0f:1.0f/(float)(1ul<<(dg-1))); } };
__NL(float,FLT_MIN,FLT_MAX,-FLT_MAX,24,true,false) __NL(half,(half)6.103515625e-05f,(half)65504.0f,(half)-65504.0f,11,true,false) __NL(bfloat,(bfloat)1.17549435e-38f,(bfloat)3.38953139e38f,(bfloat)-3.38953139e38f,8,true,false)
#define __NLI(t,mn,mx,dg,sg) template<> struct numeric_limits<t>{ static constexpr __constant bool is_signed=sg,is_integer=true,has_infinity=false; static constexpr __constant int digits=dg; static constexpr t min(){return mn;} static constexpr t max(){return mx;} static constexpr t lowest(){return mn;} static constexpr t infinity(){return 0;} static constexpr t quiet_NaN(){return 0;} static constexpr t epsilon(){return 0;} };
__NLI(char,-128,127,7,true) __NLI(signed char,-128,127,7,true) __NLI(uchar,0,255,8,false) __NLI(short,-32768,32767,15,true) __NLI(ushort,0,65535,16,false) __NLI(int,(-0x7fffffff-1),0x7fffffff,31,true) __NLI(uint,0,0xffffffffu,32,false) __NLI(long,(-0x7fffffffffffffffl-1),0x7fffffffffffffffl,63,true) __NLI(ulong,0,~0ul,64,false) __NLI(bool,false,true,1,false)
template<class T,size_t N> struct array { T __e[N]; T& operator[](size_t i){return __e[i];} const T& operator[](size_t i) const {return __e[i];} constexpr size_t size() const {return N;} };
template<class T> using remove_addrspace_t=typename __ras<T>::t; template<class T> struct remove_addrspace{using type=typename __ras<T>::t;};
template<class T> using uniform=T; template<class T> constexpr T make_uniform(T a){return a;}
struct os_log { template<class A,class B> constexpr os_log(A,B){} template<class... A> void log(A...) const {} template<class... A> void log_debug(A...) const {} template<class... A> void log_info(A...) const {} template<class... A> void log_error(A...) const {} };
// ---- barriers, simdgroup collectives ---------------------------------------------------------------
enum class mem_flags:uint{ mem_none=0,mem_device=1,mem_threadgroup=2,mem_texture=4,mem_threadgroup_imageblock=8 };
constexpr mem_flags operator|(mem_flags a,mem_flags b){return (mem_flags)((uint)a|(uint)b);}
enum memory_order{ memory_order_relaxed=0,memory_order_acquire,memory_order_release,memory_order_acq_rel,memory_order_seq_cst }; enum thread_scope{ thread_scope_thread,thread_scope_simdgroup,thread_scope_threadgroup,thread_scope_device };
inline void threadgroup_barrier(mem_flags f){ msl_tg_barrier((uint)f); } inline void simdgroup_barrier(mem_flags f){ msl_simd_wait(0x60u|(uint)f); } inline void atomic_thread_fence(mem_flags,memory_order,thread_scope=thread_scope_device){}
template<class T> inline T __slot(__private __msl_x* x,uint l){ T t; __builtin_memcpy(&t,x->slot[l],sizeof(T)); return t; }
#define __LANES(x) for(uint l=0;l<32;l++) if((x->mask>>l)&1)
template<class T> using __nsw=enable_if_t<is_arithmetic<typename __vt<T>::e>::value,int>;
#define __RED(name,kind,cond_,expr) template<class T,__nsw<T> =0> inline T name(T v){ __private __msl_x* x=msl_xchg(kind,&v,sizeof(T)); T r; bool first=true; __LANES(x){ T b=__slot<T>(x,l); if(first){r=b;first=false;} else { T a=r; r=(T)(expr); } } return r; }
// order note: real HW reduces in a tree; emulate with a fixed butterfly for sum
template<class T,__nsw<T> =0> inline T simd_sum(T v){ __private __msl_x* x=msl_xchg(0x10,&v,sizeof(T)); T t[32]; for(uint l=0;l<32;l++) if((x->mask>>l)&1) t[l]=__slot<T>(x,l); else t[l]=(T)0; for(uint s=16;s>0;s>>=1) for(uint l=0;l<s;l++) t[l]=(T)(t[l]+t[l+s]); return t[0]; }
__RED(simd_product,0x11,,a*b) __RED(simd_max,0x12,,max(a,b)) __RED(simd_min,0x13,,min(a,b)) __RED(simd_and,0x14,,a&b) __RED(simd_or,0x15,,a|b) __RED(simd_xor,0x16,,a^b)
#define __SCAN(name,kind,init,incl,expr) template<class T,__nsw<T> =0> inline T name(T v){ __private __msl_x* x=msl_xchg(kind,&v,sizeof(T)); uint me=msl_lane(); T r=(T)(init); for(uint l=0;l<me+(incl);l++) if((x->mask>>l)&1){ T a=r,b=__slot<T>(x,l); r=(T)(expr); } return r; }
__SCAN(simd_prefix_inclusive_sum,0x20,0,1,a+b) __SCAN(simd_prefix_exclusive_sum,0x21,0,0,a+b) __SCAN(simd_prefix_inclusive_product,0x22,1,1,a*b) __SCAN(simd_prefix_exclusive_product,0x23,1,0,a*b)
#define __SHUF(name,kind,src,valid) template<class T> inline T name(T v,ushort d){ __private __msl_x* x=msl_xchg(kind,&v,sizeof(T)); int me=(int)msl_lane(); int s=(src); if(!(valid)) return v; if(!((x->mask>>s)&1)) msl_fail("simd shuffle reads an inactive lane"); return __slot<T>(x,(uint)s); }
__SHUF(simd_shuffle,0x30,(int)d,s<32) __SHUF(simd_shuffle_xor,0x31,me^(int)d,s<32) __SHUF(simd_shuffle_down,0x32,me+(int)d,s<32) __SHUF(simd_shuffle_up,0x33,me-(int)d,s>=0) __SHUF(simd_broadcast,0x34,(int)d,s<32) __SHUF(simd_shuffle_rotate_down,0x35,(me+(int)d)&31,true) __SHUF(simd_shuffle_rotate_up,0x36,(me-(int)d)&31,true)
__SHUF(quad_shuffle,0x38,(me&~3)|((int)d&3),true) __SHUF(quad_shuffle_xor,0x39,(me&~3)|((me^(int)d)&3),true) __SHUF(quad_shuffle_down,0x3a,(me&~3)|((me+(int)d)&3),((me&3)+(int)d)<4) __SHUF(quad_shuffle_up,0x3b,(me&~3)|((me-(int)d)&3),((me&3)-(int)d)>=0) __SHUF(quad_broadcast,0x3c,(me&~3)|((int)d&3),true)
template<class T> inline T simd_shuffle_and_fill_up(T v,T f,ushort d){ T o=simd_shuffle_up(v,d); T g=simd_shuffle(f,(ushort)((msl_lane()-d)&31)); return msl_lane()>=d?o:g; } template<class T> inline T simd_shuffle_and_fill_down(T v,T f,ushort d){ T o=simd_shuffle_down(v,d); T g=simd_shuffle(f,(ushort)((msl_lane()+d)&31)); return msl_lane()+d<32?o:g; }
template<class T> inline T simd_broadcast_first(T v){ __private __msl_x* x=msl_xchg(0x37,&v,sizeof(T)); return __slot<T>(x,(uint)__builtin_ctzll(x->mask)); }
template<class T> inline T quad_sum(T v){ v=v+quad_shuffle_xor(v,1); return v+quad_shuffle_xor(v,2);} template<class T> inline T quad_max(T v){ v=max(v,quad_shuffle_xor(v,1)); return max(v,quad_shuffle_xor(v,2));}
struct simd_vote { ulong v; explicit simd_vote(ulong a=0):v(a){} explicit operator ulong() const {return v;} bool all() const {return v==0xffffffffu;} bool any() const {return v!=0;} typedef ulong vote_t; };
inline simd_vote simd_ballot(bool b){ __private __msl_x* x=msl_xchg(0x40,&b,1); ulong m=0; __LANES(x) if(x->slot[l][0]) m|=1ul<<l; return simd_vote(m); }
inline bool simd_all(bool b){ __private __msl_x* x=msl_xchg(0x41,&b,1); bool r=true; __LANES(x) r=r&&x->slot[l][0]; return r; } inline bool simd_any(bool b){ __private __msl_x* x=msl_xchg(0x42,&b,1); bool r=false; __LANES(x) r=r||x->slot[l][0]; return r; }
inline bool simd_is_first(){ bool b=true; __private __msl_x* x=msl_xchg(0x43,&b,1); return msl_lane()==(uint)__builtin_ctzll(x->mask); } inline simd_vote simd_active_threads_mask(){ return simd_ballot(true); }
// ---- simdgroup_matrix --------------------------------------------------------------------------------
// lane -> (row,col) of its two elements, Apple layout
inline uint __sm_r(uint l){ uint q=l>>2; return (q&4)+((l>>1)&3); } inline uint __sm_c(uint l){ uint q=l>>2; return (q&2)*2+(l&1)*2; }
template<class T,int R=8,int C=8> struct simdgroup_matrix { vec<T,2> e; simdgroup_matrix(){} explicit simdgroup_matrix(T s):e(s){} simdgroup_matrix(const simdgroup_matrix&)=default; thread vec<T,2>& thread_elements() { return *(thread vec<T,2>*)&e; } thread const vec<T,2>& thread_elements() const { return *(thread const vec<T,2>*)&e; } };
template<class T,int R=8,int C=R,class S> inline simdgroup_matrix<T,R,C> make_filled_simdgroup_matrix(S v){ return simdgroup_matrix<T,R,C>((T)v); }
template<class T,class P> inline void __sm_load(thread simdgroup_matrix<T,8,8>& d,P s,ulong ld,ulong2 o,bool tr){ msl_simd_wait(0x50); uint l=msl_lane(),r=__sm_r(l),c=__sm_c(l); if(!tr){ P p=s+(o.y+r)*ld+o.x+c; d.e.x=(T)p[0]; d.e.y=(T)p[1]; } else { P p=s+(o.y+c)*ld+o.x+r; d.e.x=(T)p[0]; d.e.y=(T)p[ld]; } }
template<class T,class P> inline void __sm_store(thread const simdgroup_matrix<T,8,8>& d,P s,ulong ld,ulong2 o,bool tr){ msl_simd_wait(0x51); uint l=msl_lane(),r=__sm_r(l),c=__sm_c(l); if(!tr){ P p=s+(o.y+r)*ld+o.x+c; p[0]=d.e.x; p[1]=d.e.y; } else { P p=s+(o.y+c)*ld+o.x+r; p[0]=d.e.x; p[ld]=d.e.y; } }
#define __SML(AS) template<class T> inline void simdgroup_load(thread simdgroup_matrix<T,8,8>& d,const AS T* s,ulong ld=8,ulong2 o=ulong2(0),bool tr=false){ __sm_load(d,s,ld,o,tr); }
#define __SMS(AS) template<class T> inline void simdgroup_store(thread const simdgroup_matrix<T,8,8>& d,AS T* s,ulong ld=8,ulong2 o=ulong2(0),bool tr=false){ __sm_store(d,s,ld,o,tr); } template<class T> inline void simdgroup_store(simdgroup_matrix<T,8,8>&& d,AS T* s,ulong ld=8,ulong2 o=ulong2(0),bool tr=false){ __sm_store(*(thread const simdgroup_matrix<T,8,8>*)&d,s,ld,o,tr); }
__SML(device) __SML(threadgroup) __SMS(device) __SMS(threadgroup)
template<class D,class A,class B,class C> inline void __sm_mma(thread simdgroup_matrix<D,8,8>& d,thread const simdgroup_matrix<A,8,8>& a,thread const simdgroup_matrix<B,8,8>& b,thread const simdgroup_matrix<C,8,8>* c){
  struct P{float a0,a1,b0,b1;} p={(float)a.e.x,(float)a.e.y,(float)b.e.x,(float)b.e.y}; __private __msl_x* x=msl_xchg(0x52,&p,sizeof(P)); uint l=msl_lane(),r=__sm_r(l),q=__sm_c(l);
  float s0=c?(float)c->e.x:0,s1=c?(float)c->e.y:0;
  for(uint k=0;k<8;k++){ /* a(r,k), b(k,q), b(k,q+1) */ uint la=((r&4)<<2)|((k&4)<<1)|((r&3)<<1)|((k>>1)&1); uint lb=((k&4)<<2)|((q&4)<<1)|((k&3)<<1)|((q>>1)&1); const __private float* pa=(const __private float*)x->slot[la]; const __private float* pb=(const __private float*)x->slot[lb]; float av=pa[k&1]; s0+=av*pb[2]; s1+=av*pb[3]; }
  d.e.x=(D)s0; d.e.y=(D)s1; }
template<class D,class A,class B,class C> inline void simdgroup_multiply_accumulate(thread simdgroup_matrix<D,8,8>& d,thread const simdgroup_matrix<A,8,8>& a,thread const simdgroup_matrix<B,8,8>& b,thread const simdgroup_matrix<C,8,8>& c){ __sm_mma(d,a,b,&c); }
template<class D,class A,class B> inline void simdgroup_multiply(thread simdgroup_matrix<D,8,8>& d,thread const simdgroup_matrix<A,8,8>& a,thread const simdgroup_matrix<B,8,8>& b){ __sm_mma(d,a,b,(thread const simdgroup_matrix<D,8,8>*)0); }
typedef simdgroup_matrix<float,8,8> simdgroup_float8x8; typedef simdgroup_matrix<half,8,8> simdgroup_half8x8; typedef simdgroup_matrix<bfloat,8,8> simdgroup_bfloat8x8;
// ---- atomics -----------------------------------------------------------------------------------------
template<class T> struct _atomic{ T __v; }; template<class T> using atomic=_atomic<T>; typedef _atomic<int> atomic_int; typedef _atomic<uint> atomic_uint; typedef _atomic<bool> atomic_bool; typedef _atomic<float> atomic_float; typedef _atomic<ulong> atomic_ulong;
template<class T> inline T __at(uint op,volatile void* p,T v,T c=T()){ ulong vv=0,cc=0,old=0; __builtin_memcpy(&vv,&v,sizeof(T)); __builtin_memcpy(&cc,&c,sizeof(T)); msl_atomic(op|(is_floating_point<T>::value?0x100u:0)|(is_signed<T>::value?0x200u:0),sizeof(T),(void*)p,vv,cc,&old); T r; __builtin_memcpy(&r,&old,sizeof(T)); return r; }
#define __AT(AS) template<class T> inline void atomic_store_explicit(volatile AS _atomic<T>* p,T v,memory_order o){ __at<T>(1,p,v); } template<class T,class U> inline void atomic_store_explicit(volatile AS _atomic<T>* p,U v,memory_order o){ __at<T>(1,p,(T)v); } template<class T> inline T atomic_load_explicit(const volatile AS _atomic<T>* p,memory_order o){ return __at<T>(0,(volatile AS _atomic<T>*)p,T()); } template<class T,class U> inline T atomic_exchange_explicit(volatile AS _atomic<T>* p,U v,memory_order o){ return __at<T>(2,p,(T)v); } \
 template<class T,class U> inline bool atomic_compare_exchange_weak_explicit(volatile AS _atomic<T>* p,thread T* e,U v,memory_order,memory_order){ T o=__at<T>(10,p,(T)v,*e); bool ok=o==*e; *e=o; return ok; } \
 __AF(AS,add,3) __AF(AS,sub,4) __AF(AS,min,5) __AF(AS,max,6) __AF(AS,and,7) __AF(AS,or,8) __AF(AS,xor,9)
#define __AF(AS,n,k) template<class T,class U> inline T atomic_fetch_##n##_explicit(volatile AS _atomic<T>* p,U v,memory_order o){ return __at<T>(k,p,(T)v); }
__AT(device) __AT(threadgroup)
}
// ---- kernel entry: bind params from descriptors --------------------------------------------------------
template<class A> inline A msl_address(__private void* p){ if constexpr(__is_reference(A)) { typedef typename metal::__rr<A>::t U; return *(U*)(ulong)p; } else return (A)(ulong)p; }
template<class A> inline A msl_buffer_argument(const __private msl_launch* l,uint i){ return msl_address<A>(l->buffers[i]); }
template<class A> inline A msl_threadgroup_argument(const __private msl_launch* l,uint i){ return msl_address<A>(l->threadgroup_memory[i]); }
template<class A> inline A msl_builtin_argument(const __private msl_launch* l,uint i){ typedef metal::remove_cv_t<A> U; U r; if constexpr(metal::__isvec<U>::value){ for(int j=0;j<metal::__vt<U>::n;j++) r.__d[j]=(typename metal::__vt<U>::e)l->values[i][j]; } else r=(U)l->values[i][0]; return r; }
template<int I,class H,class... R> struct __msl_at{ typedef typename __msl_at<I-1,R...>::t t; }; template<class H,class... R> struct __msl_at<0,H,R...>{ typedef H t; };
template<class F> struct msl_signature; template<class... P> struct msl_signature<void(P...)>{ template<int I> using at=typename __msl_at<I,P...>::t; };

