// What a kernel asks of the emulator. The other side is emulator/glue.cpp.
#pragma once

// What a thread is started with. The numbers of `values` are those of the lowering's `Builtin`.
struct msl_launch {
    __private void* const __private* buffers;
    __private void* const __private* threadgroup_memory;
    uint values[18][4];
};

// Where the lanes of a simdgroup lay down values for each other.
struct msl_exchange {
    ulong lanes;                // bit l is set if lane l took part
    ulong padding;
    char values[32][128];
};

extern "C" {
// The memory of a threadgroup variable; the same for all threads of a threadgroup.
void* msl_tg_var(uint site, ulong bytes, __constant const char* name);
// Waits for the other lanes and returns what each brought. `kind` tells the operations apart: lanes that come with
// different ones have diverged.
__private msl_exchange* msl_xchg(uint kind, const void* value, uint bytes);
// The same without a value.
void msl_simd_wait(uint kind);
uint msl_lane();
// The thread's index in its threadgroup.
uint msl_thread();
void msl_tg_barrier(uint flags);
void msl_fence(uint flags, uint order, uint scope);
// Does an atomic operation and stores what was there before in `old`.
uint msl_atomic(uint operation, uint bytes, void* address, ulong value, ulong expected, __private ulong* old);
int msl_fc_isdef(int index);
// Ends the dispatch with a message.
void msl_fail(__constant const char* message);
}

#define MSL_EXPORT __attribute__((visibility("default")))
