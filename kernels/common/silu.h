// x · sigmoid(x), of numbers and vectors of them, and the functions that activations are made of, exact or fast.
#pragma once

struct Precise {
    template <typename T> static T exp(T x) { return precise::exp(x); }
    template <typename T> static T divide(T x, T y) { return x / y; }
};

struct Fast {
    template <typename T> static T exp(T x) { return fast::exp(x); }
    template <typename T> static T divide(T x, T y) { return fast::divide(x, y); }
};

template <typename Functions>
struct Silu {
    template <typename T> static T apply(T x) { return Functions::divide(x, T(1.0f) + Functions::exp(-x)); }
    // What it is multiplied with as a gate.
    template <typename T> static T factor(T up) { return up; }
};
