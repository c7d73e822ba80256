// Tensors over plain memory, and the matrix product of Metal 4's Metal Performance Primitives.
//
// Metal's programmers see two-dimensional tensors, columns first, and a destination that several simdgroups hold
// together. Which thread holds which element is nobody's business: it differs between GPUs. Here it is unlike any of
// theirs, and some of a thread's elements are none, so that a kernel that assumes a layout fails.
#pragma once

namespace metal {
template <class Index, size_t... Extents> struct extents { Index sizes[sizeof...(Extents)]; };
template <class Index, size_t Rank> struct dextents {
    static_assert(Rank == 2, "tensors here have two dimensions");
    Index sizes[2];
    constexpr dextents(Index columns, Index rows) : sizes{columns, rows} {}
    constexpr Index extent(size_t dimension) const { return sizes[dimension]; }
};
// A tensor that a kernel makes of a pointer.
struct tensor_inline {};

// `T` has the memory space of the elements, as in `tensor<threadgroup half, dextents<int, 2>, tensor_inline>`.
template <class T, class Extents, class Descriptor = tensor_inline> struct tensor {
    static_assert(__is_same(Descriptor, tensor_inline), "tensors here are made of pointers (tensor_inline)");
    using element = remove_cv_t<T>;
    T* elements;
    Extents sizes;
    int row_stride;

    tensor(T* elements, Extents sizes) : elements(elements), sizes(sizes), row_stride((int)sizes.extent(0)) {}
    tensor(T* elements, Extents sizes, array<int, 2> strides)
        : elements(elements), sizes(sizes), row_stride(strides[1]) {}
    int get_extent(int dimension) const { return (int)sizes.extent((size_t)dimension); }
    // What is left from a column and a row on.
    tensor slice(int column, int row) const {
        tensor rest(elements + (long)row * row_stride + column, Extents(get_extent(0) - column, get_extent(1) - row));
        rest.row_stride = row_stride;
        return rest;
    }
    bool holds(int column, int row) const {
        return column >= 0 && row >= 0 && column < get_extent(0) && row < get_extent(1);
    }
    // An element; zero outside.
    element get(int column, int row) const {
        return holds(column, row) ? (element)elements[(long)row * row_stride + column] : (element)0.0f;
    }
};

template <int N> struct execution_simdgroups { static constexpr __constant int simdgroups = N; };
using execution_simdgroup = execution_simdgroups<1>;
}

namespace mpp {
namespace tensor_ops {
constexpr __constant int dynamic_length = 0;

// destination [m, n] (= or +=) left [m, k] · right [k, n]. A k of zero is taken from the operands.
struct matmul2d_descriptor {
    enum class mode : uint { multiply, multiply_accumulate };
    int m, n, k;
    bool transpose_left, transpose_right, relaxed_precision;
    mode what;
    constexpr matmul2d_descriptor(int m, int n, int k = dynamic_length, bool transpose_left = false,
                                  bool transpose_right = false, bool relaxed_precision = false,
                                  mode what = mode::multiply)
        : m(m), n(n), k(k), transpose_left(transpose_left), transpose_right(transpose_right),
          relaxed_precision(relaxed_precision), what(what) {}
    // Template arguments are numbers in this language: 16 bits each for m, n and k, and one for each choice.
    constexpr operator ulong() const {
        return (ulong)m | (ulong)n << 16 | (ulong)k << 32 | (ulong)transpose_left << 48 |
               (ulong)transpose_right << 49 | (ulong)what << 50;
    }
};

// A matrix of Rows x Columns that the threads of a scope hold together. Thread t has elements t, t + threads and so
// on, counted down the columns; its last is none.
template <class T, int Rows, int Columns, int Simdgroups> struct cooperative_tensor {
    static constexpr __constant int threads = 32 * Simdgroups;
    static constexpr __constant int capacity = (Rows * Columns + threads - 1) / threads + 1;
    T elements[capacity];

    // What an element holds before it is written is not known; here it is no number.
    cooperative_tensor() { MSL_EACH(capacity, elements[i] = (T)__builtin_nanf("")) }
    constexpr ushort get_capacity() const { return capacity; }
    int position(int i) const { return i * threads + (int)(msl_thread() % (uint)threads); }
    bool is_valid_element(int i) const { return i < capacity - 1 && position(i) < Rows * Columns; }
    // Column and row.
    metal::array<int, 2> get_multidimensional_index(int i) const { return {{position(i) / Rows, position(i) % Rows}}; }
    thread T& operator[](int i) { return *(thread T*)&elements[i]; }

    template <class Tensor> void store(Tensor to) const {
        msl_simd_wait(0x54);
        for (int i = 0; i < capacity; i++) {
            const int column = position(i) / Rows, row = position(i) % Rows;
            if (is_valid_element(i) && to.holds(column, row))
                to.elements[(long)row * to.row_stride + column] = (typename Tensor::element)elements[i];
        }
    }
    template <class Tensor> void load(Tensor from) {
        msl_simd_wait(0x55);
        MSL_EACH(capacity, if (is_valid_element(i)) elements[i] = (T)from.get(position(i) / Rows, position(i) % Rows))
    }
};

template <ulong Descriptor, class Scope> struct matmul2d {
    static constexpr __constant int m = Descriptor & 0xffff, n = Descriptor >> 16 & 0xffff, k = Descriptor >> 32 & 0xffff;
    static constexpr __constant bool transpose_left = Descriptor >> 48 & 1, transpose_right = Descriptor >> 49 & 1;
    static constexpr __constant bool accumulate = Descriptor >> 50 & 1;

    template <class Left, class Right, class T>
    cooperative_tensor<T, m, n, Scope::simdgroups> get_destination_cooperative_tensor() const {
        return cooperative_tensor<T, m, n, Scope::simdgroups>();
    }
    template <class Left, class Right> static float product(Left left, Right right, int row, int column) {
        const int depth = k != dynamic_length ? k : left.get_extent(transpose_left ? 1 : 0);
        float sum = 0.0f;
        for (int i = 0; i < depth; i++)
            sum += (float)(transpose_left ? left.get(row, i) : left.get(i, row)) *
                   (float)(transpose_right ? right.get(i, column) : right.get(column, i));
        return sum;
    }
    // Into a destination that the threads hold.
    template <class Left, class Right, class T>
    void run(Left left, Right right, thread cooperative_tensor<T, m, n, Scope::simdgroups>& destination) const {
        msl_simd_wait(0x53);
        for (int i = 0; i < destination.get_capacity(); i++) {
            if (!destination.is_valid_element(i)) continue;
            const int at = destination.position(i);
            const float sum = product(left, right, at % m, at / m);
            destination.elements[i] = (T)(accumulate ? (float)destination.elements[i] + sum : sum);
        }
        msl_simd_wait(0x53);
    }
    // Into memory.
    template <class Left, class Right, class To, class Extents>
    void run(Left left, Right right, metal::tensor<To, Extents> destination) const {
        cooperative_tensor<float, m, n, Scope::simdgroups> sums;
        if (accumulate) sums.load(destination);
        run(left, right, sums);
        sums.store(destination);
    }
};
}
}
