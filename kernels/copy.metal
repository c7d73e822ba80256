// Copies and conversions.
//
//   convert        out[i] = input[i] in another type          f32, f16, bf16, each to each other
//   copy_rows      out[r · to + i] = input[r · from + i]      words or bytes, rows of any stride
//   copy_pages     page[to] = page[from]                      pairs of pages of one pool, in place
//
// Where they are used: at load, bf16 becomes f16 where bf16 is emulated (M1, M2), or a file's vectors become f32;
// activations become f16 for matrix products of the system's library; a page of the key/value pool is copied when a
// sequence goes on writing in what another still reads.
//
// Bytes are all that counts: a kernel that reads and writes 16 bytes a thread, neighbours next to one another, runs at the
// speed of memory. A thread has four elements of a conversion (8 bytes in, 16 out, or the other way round), four words
// of a copied row, sixteen bytes of a page. Conversions read and write at any multiple of an element's size.
//
// Numerics: f16 and bf16 to f32 are exact. To f16 is rounded to the nearest, ties to even, as the hardware does, and what
// f16 can't hold becomes infinite. To bf16 is rounded so in integers, because M1 and M2 have no bf16: adding 0x7fff
// and the lowest kept bit to the 32 bits carries into the upper half exactly when it must be rounded up; a NaN keeps
// its upper half, made quiet. bf16 and f16 meet only in f32.
//
// Twins: half::{f16, bf16}::{from_f32, to_f32}, and copies of slices.
#include <metal_stdlib>
#include "arguments.h"
using namespace metal;

// A type of numbers: load4 and store4 are at any multiple of its size.
struct NumberF32 {
    static float load(device const uchar* at) { return *(device const float*)at; }
    static float4 load4(device const uchar* at) { return float4(*(device const packed_float4*)at); }
    static void store(device uchar* at, float value) { *(device float*)at = value; }
    static void store4(device uchar* at, float4 values) { *(device packed_float4*)at = packed_float4(values); }
    static uint bytes() { return 4; }
};

struct NumberF16 {
    static float load(device const uchar* at) { return float(*(device const half*)at); }
    static float4 load4(device const uchar* at) { return float4(half4(*(device const packed_half4*)at)); }
    static void store(device uchar* at, float value) { *(device half*)at = half(value); }
    static void store4(device uchar* at, float4 values) { *(device packed_half4*)at = packed_half4(half4(values)); }
    static uint bytes() { return 2; }
};

struct NumberBF16 {
    static float load(device const uchar* at) { return as_type<float>(uint(*(device const ushort*)at) << 16); }
    static float4 load4(device const uchar* at) {
        return as_type<float4>(uint4(ushort4(*(device const packed_ushort4*)at)) << 16u);
    }
    static uint rounded(uint bits) {
        const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
        return is_nan ? bits >> 16 | 0x40u : (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    }
    static void store(device uchar* at, float value) { *(device ushort*)at = ushort(rounded(as_type<uint>(value))); }
    static void store4(device uchar* at, float4 values) {
        const uint4 bits = as_type<uint4>(values);
        const uint4 upper = uint4(rounded(bits.x), rounded(bits.y), rounded(bits.z), rounded(bits.w));
        *(device packed_ushort4*)at = packed_ushort4(ushort4(upper));
    }
    static uint bytes() { return 2; }
};

template <typename From, typename To>
kernel void convert(
    device const uchar* input         [[buffer(0)]],   // [count] of From
    device uchar* out                 [[buffer(1)]],   // [count] of To
    constant ConvertArguments& args   [[buffer(2)]],
    uint thread_id [[thread_position_in_grid]])
{
    const uint first = 4 * thread_id;
    if (first >= args.count) return;
    device const uchar* from = input + ulong(first) * From::bytes();
    device uchar* to = out + ulong(first) * To::bytes();
    if (first + 4 <= args.count) {
        To::store4(to, From::load4(from));
        return;
    }
    for (uint i = 0; first + i < args.count; i++) To::store(to + i * To::bytes(), From::load(from + i * From::bytes()));
}

#define CONVERT(name, From, To) \
    template [[host_name("convert_" name)]] kernel decltype(convert<From, To>) convert<From, To>;

CONVERT("f32_f16", NumberF32, NumberF16)
CONVERT("f32_bf16", NumberF32, NumberBF16)
CONVERT("f16_f32", NumberF16, NumberF32)
CONVERT("f16_bf16", NumberF16, NumberBF16)
CONVERT("bf16_f32", NumberBF16, NumberF32)
CONVERT("bf16_f16", NumberBF16, NumberF16)

// Rows of `width` elements; a thread has four of a row.
template <typename Element>
kernel void copy_rows(
    device const Element* input        [[buffer(0)]],
    device Element* out                [[buffer(1)]],
    constant CopyRowsArguments& args   [[buffer(2)]],
    uint thread_id [[thread_position_in_grid]])
{
    const uint per_row = (args.width + 3) / 4;
    if (thread_id >= args.rows * per_row) return;
    const uint row = thread_id / per_row;
    const uint first = 4 * (thread_id - row * per_row);
    device const Element* from = input + ulong(row) * args.input_stride + first;
    device Element* to = out + ulong(row) * args.out_stride + first;
    Element values[4];
    for (uint i = 0; i < 4; i++) {
        if (first + i < args.width) values[i] = from[i];
    }
    for (uint i = 0; i < 4; i++) {
        if (first + i < args.width) to[i] = values[i];
    }
}

template [[host_name("copy_rows_u32")]] kernel decltype(copy_rows<uint>) copy_rows<uint>;
template [[host_name("copy_rows_u8")]] kernel decltype(copy_rows<uchar>) copy_rows<uchar>;

// Pages are multiples of 16 bytes. No page is copied to twice, nor copied to and from.
kernel void copy_pages(
    device uint4* pool                  [[buffer(0)]],
    device const uint2* pairs           [[buffer(1)]],   // [count]: from, to
    constant CopyPagesArguments& args   [[buffer(2)]],
    uint2 place [[thread_position_in_grid]])              // sixteen bytes of a page; pair
{
    if (place.x >= args.page_words) return;
    const uint2 pair = pairs[place.y];
    pool[ulong(pair.y) * args.page_words + place.x] = pool[ulong(pair.x) * args.page_words + place.x];
}
