// Products of four simdgroups together ("Asynchronous warpgroup-level matrix instructions" in the PTX manual), on Hopper alone.
#pragma once

namespace metal {
// Where the right factor lies: rows of 128 bytes, eight of them a block of 1,024, with their 16-byte pieces exchanged as the
// 128-byte swizzle does ("Matrix descriptor" there).
inline ulong msl_warpgroup_factor(const threadgroup half* rows) {
    const ulong address = (uint)(ulong)rows & 0x3ffffu;
    return address >> 4 | 1ul << 16 | 64ul << 32 | 1ul << 62;
}
#define MSL_WARPGROUP_64(a, offset) "add.s64 at, %48, " offset ";\n\twgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, {" a "}, at, add, 1, 1, 0;\n\t"
inline void msl_warpgroup_multiply(thread float4 (&sums)[8], thread const half2 (&a)[4][4], const threadgroup half* rows) {
    float s[32];
    for (uint i = 0; i < 32; i++) s[i] = sums[i / 4][i % 4];
    asm volatile("{\n\t.reg .pred add;\n\t.reg .b64 at;\n\tsetp.ne.b32 add, 1, 0;\n\twgmma.fence.sync.aligned;\n\t"
                 MSL_WARPGROUP_64("%32, %33, %34, %35", "0")
                 MSL_WARPGROUP_64("%36, %37, %38, %39", "2")
                 MSL_WARPGROUP_64("%40, %41, %42, %43", "4")
                 MSL_WARPGROUP_64("%44, %45, %46, %47", "6")
                 "wgmma.commit_group.sync.aligned;\n\t}"
                 : "+f"(s[0]), "+f"(s[1]), "+f"(s[2]), "+f"(s[3]), "+f"(s[4]), "+f"(s[5]), "+f"(s[6]), "+f"(s[7]), "+f"(s[8]), "+f"(s[9]), "+f"(s[10]), "+f"(s[11]), "+f"(s[12]), "+f"(s[13]), "+f"(s[14]), "+f"(s[15]), "+f"(s[16]), "+f"(s[17]), "+f"(s[18]), "+f"(s[19]), "+f"(s[20]), "+f"(s[21]), "+f"(s[22]), "+f"(s[23]), "+f"(s[24]), "+f"(s[25]), "+f"(s[26]), "+f"(s[27]), "+f"(s[28]), "+f"(s[29]), "+f"(s[30]), "+f"(s[31])
                 : "r"(as_type<uint>(a[0][0])), "r"(as_type<uint>(a[0][1])), "r"(as_type<uint>(a[0][2])), "r"(as_type<uint>(a[0][3])), "r"(as_type<uint>(a[1][0])), "r"(as_type<uint>(a[1][1])), "r"(as_type<uint>(a[1][2])), "r"(as_type<uint>(a[1][3])), "r"(as_type<uint>(a[2][0])), "r"(as_type<uint>(a[2][1])), "r"(as_type<uint>(a[2][2])), "r"(as_type<uint>(a[2][3])), "r"(as_type<uint>(a[3][0])), "r"(as_type<uint>(a[3][1])), "r"(as_type<uint>(a[3][2])), "r"(as_type<uint>(a[3][3])), "l"(msl_warpgroup_factor(rows)) : "memory");
    for (uint i = 0; i < 32; i++) sums[i / 4][i % 4] = s[i];
}
#undef MSL_WARPGROUP_64
// What this thread has stored to threadgroup memory can be read by such products, after the barrier that follows.
inline void msl_warpgroup_publish() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
// All products but the last are done; all are.
inline void msl_warpgroup_wait_all_but_last() { asm volatile("wgmma.wait_group.sync.aligned 1;" ::: "memory"); }
inline void msl_warpgroup_wait() { asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory"); }
}
