//! The emulator computes what kernels say.

use msl::emulator::{Binding, Buffer, Dispatch, Library, Mode};
use msl::{Options, Source, compile};

const HEADER: &str = "#include <metal_stdlib>\nusing namespace metal;\n";

fn library(mode: msl::Mode, text: &str) -> Library {
    let source = Source::new("test.metal", format!("{HEADER}{text}"));
    let compiled = compile(&source, &Options::new(mode)).expect("the kernel compiles");
    Library::open(&compiled).expect("the library loads")
}

#[test]
fn threads_add_two_vectors() {
    let text = "kernel void add(device const float* a [[buffer(0)]], device const float* b [[buffer(1)]],
        device float* sum [[buffer(2)]], uint i [[thread_position_in_grid]]) { sum[i] = a[i] + b[i]; }";
    for mode in [msl::Mode::Fast, msl::Mode::Checked] {
        let library = library(mode, text);
        let a: Vec<u8> = (0..256).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let b: Vec<u8> = (0..256).flat_map(|i| (2.0 * i as f32).to_le_bytes()).collect();
        let mut sum = vec![0; 1024];
        let dispatch = Dispatch {
            kernel: "add".to_owned(),
            arguments: vec![
                (0, Binding::Buffer(Buffer::read(&a))),
                (1, Binding::Buffer(Buffer::read(&b))),
                (2, Binding::Buffer(Buffer::output(&mut sum))),
            ],
            threadgroups: [4, 1, 1],
            threads: [64, 1, 1],
            ..Dispatch::default()
        };
        library.run(&dispatch, &Mode::default()).unwrap();
        drop(dispatch);
        for (i, value) in sum.chunks(4).enumerate() {
            assert_eq!(f32::from_le_bytes(value.try_into().unwrap()), 3.0 * i as f32);
        }
    }
}

#[test]
fn simdgroups_reduce_through_threadgroup_memory() {
    let text = "kernel void total(device const float* a [[buffer(0)]], device float* out [[buffer(1)]],
        uint i [[thread_position_in_threadgroup]], uint g [[simdgroup_index_in_threadgroup]],
        uint groups [[simdgroups_per_threadgroup]], uint lane [[thread_index_in_simdgroup]]) {
        threadgroup float part[32];
        float s = simd_sum(a[i]);
        if (lane == 0) part[g] = s;
        threadgroup_barrier(mem_flags::mem_threadgroup);
        if (g == 0) { float t = simd_sum(lane < groups ? part[lane] : 0.0f); if (lane == 0) out[0] = t; }
    }";
    for mode in [msl::Mode::Fast, msl::Mode::Checked] {
        let library = library(mode, text);
        let a: Vec<u8> = (0..1024).flat_map(|i| (i as f32).to_le_bytes()).collect();
        for run in [Mode::default(), Mode::random(1), Mode::random(2)] {
            let mut out = vec![0; 4];
            let dispatch = Dispatch {
                kernel: "total".to_owned(),
                arguments: vec![
                    (0, Binding::Buffer(Buffer::read(&a))),
                    (1, Binding::Buffer(Buffer::output(&mut out))),
                ],
                threadgroups: [1, 1, 1],
                threads: [1024, 1, 1],
                ..Dispatch::default()
            };
            let counts = library.run(&dispatch, &run).unwrap();
            assert_eq!((counts.simd_collectives, counts.threadgroup_barriers), (33, 1));
            drop(dispatch);
            assert_eq!(f32::from_le_bytes(out[..].try_into().unwrap()), 1023.0 * 512.0);
        }
    }
}
