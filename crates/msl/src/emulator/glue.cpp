// The C side of the emulator, linked into every kernel library.
//
// A lowered kernel calls the functions below for everything that a lane cannot do alone: barriers, collectives,
// threadgroup memory, atomics. Each is a forward through a table of function pointers that the emulator hands over
// once, with msl_bind. A table, because a Rust executable exports no symbols that the library could look up. All
// but msl_bind is hidden, so that two libraries, or a sanitizer's own runtime, never answer each other's calls.
//
// Functions that may end in a report also pass their own frame: the word above it is the return address in the
// kernel, and the chain of frames leads to its callers. This file is compiled with frame pointers and never
// instrumented. The table's order is that of `Table` in abi.rs.

typedef unsigned int u32;
typedef unsigned long long u64;
typedef __SIZE_TYPE__ size;

struct Exchange;
struct Table {
    void* (*threadgroup_variable)(u32 site, u64 bytes, const char* name, void* frame);
    Exchange* (*collective)(u32 kind, const void* value, u32 bytes, void* frame);
    u32 (*lane)();
    void (*threadgroup_barrier)(u32 flags, void* frame);
    void (*fence)(u32 flags, u32 order, u32 scope, void* frame);
    u32 (*atomic)(u32 operation, u32 bytes, void* address, u64 value, u64 expected, u64* old, void* frame);
    int (*constant_is_defined)(int index);
    void (*fail)(u32 reason, const char* message, void* frame);
    void (*access)(const void* address, size bytes, u32 is_write, void* frame);
    u32 (*thread)();
};
static const Table* table;

extern "C" __attribute__((visibility("default"))) void msl_bind(const Table* given) { table = given; }

#define HIDDEN extern "C" __attribute__((visibility("hidden")))
#define FRAME __builtin_frame_address(0)

HIDDEN void* msl_tg_var(u32 site, u64 bytes, const char* name) {
    return table->threadgroup_variable(site, bytes, name, FRAME);
}
HIDDEN Exchange* msl_xchg(u32 kind, const void* value, u32 bytes) {
    return table->collective(kind, value, bytes, FRAME);
}
HIDDEN void msl_simd_wait(u32 kind) { table->collective(kind, nullptr, 0, FRAME); }
HIDDEN u32 msl_lane() { return table->lane(); }
HIDDEN u32 msl_thread() { return table->thread(); }
HIDDEN void msl_tg_barrier(u32 flags) { table->threadgroup_barrier(flags, FRAME); }
HIDDEN void msl_fence(u32 flags, u32 order, u32 scope) { table->fence(flags, order, scope, FRAME); }
HIDDEN u32 msl_atomic(u32 operation, u32 bytes, void* address, u64 value, u64 expected, u64* old) {
    return table->atomic(operation, bytes, address, value, expected, old, FRAME);
}
HIDDEN int msl_fc_isdef(int index) { return table->constant_is_defined(index); }

// Why a kernel stops itself. The numbers are those of `StopReason` in abi.rs.
enum { STOP_MESSAGE = 0, STOP_ARRAY_INDEX = 1, STOP_DIVISION = 2 };
HIDDEN void msl_fail(const char* message) { table->fail(STOP_MESSAGE, message, FRAME); }
HIDDEN void __ubsan_handle_out_of_bounds_minimal_abort() { table->fail(STOP_ARRAY_INDEX, nullptr, FRAME); }
HIDDEN void __ubsan_handle_out_of_bounds_minimal() { table->fail(STOP_ARRAY_INDEX, nullptr, FRAME); }
HIDDEN void __ubsan_handle_divrem_overflow_minimal_abort() { table->fail(STOP_DIVISION, nullptr, FRAME); }
HIDDEN void __ubsan_handle_divrem_overflow_minimal() { table->fail(STOP_DIVISION, nullptr, FRAME); }

// What clang's thread sanitizer inserts before each access of memory that other threads might see. The runtime
// behind it is the emulator's, which knows what a threadgroup is.
// A thread's own variables are of no interest: the emulator keeps the addresses within STACK_BYTES above any frame
// for stacks alone.
enum { STACK_BYTES = 128 * 1024 };
#define SHARED ((size)((const char*)address - (const char*)FRAME) >= STACK_BYTES)
#define READ(bytes) if (SHARED) table->access(address, bytes, 0, FRAME);
#define WRITE(bytes) if (SHARED) table->access(address, bytes, 1, FRAME);
#define ACCESSES(bytes)                                                                  \
    HIDDEN void __tsan_read##bytes(void* address) { READ(bytes) }                        \
    HIDDEN void __tsan_write##bytes(void* address) { WRITE(bytes) }                      \
    HIDDEN void __tsan_read_write##bytes(void* address) { READ(bytes) WRITE(bytes) }     \
    HIDDEN void __tsan_unaligned_read##bytes(void* address) { READ(bytes) }              \
    HIDDEN void __tsan_unaligned_write##bytes(void* address) { WRITE(bytes) }            \
    HIDDEN void __tsan_unaligned_read_write##bytes(void* address) { READ(bytes) WRITE(bytes) } \
    HIDDEN void __tsan_volatile_read##bytes(void* address) { READ(bytes) }               \
    HIDDEN void __tsan_volatile_write##bytes(void* address) { WRITE(bytes) }             \
    HIDDEN void __tsan_unaligned_volatile_read##bytes(void* address) { READ(bytes) }     \
    HIDDEN void __tsan_unaligned_volatile_write##bytes(void* address) { WRITE(bytes) }
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)
HIDDEN void __tsan_read_range(void* address, size bytes) { READ(bytes) }
HIDDEN void __tsan_write_range(void* address, size bytes) { WRITE(bytes) }

static void* copy(void* to, const void* from, size bytes, void* frame) {
    table->access(from, bytes, 0, frame);
    table->access(to, bytes, 1, frame);
    return __builtin_memmove(to, from, bytes);
}
HIDDEN void* __tsan_memcpy(void* to, const void* from, size bytes) { return copy(to, from, bytes, FRAME); }
HIDDEN void* __tsan_memmove(void* to, const void* from, size bytes) { return copy(to, from, bytes, FRAME); }
HIDDEN void* __tsan_memset(void* address, int value, size bytes) {
    WRITE(bytes)
    return __builtin_memset(address, value, bytes);
}
HIDDEN void msl_copy(void* to, const void* from, u64 bytes) { __builtin_memmove(to, from, bytes); }

HIDDEN void __tsan_init() {}
HIDDEN void __tsan_func_entry(void*) {}
HIDDEN void __tsan_func_exit() {}
HIDDEN void __tsan_ignore_thread_begin() {}
HIDDEN void __tsan_ignore_thread_end() {}
HIDDEN void __tsan_vptr_read(void**) {}
HIDDEN void __tsan_vptr_update(void**, void*) {}
