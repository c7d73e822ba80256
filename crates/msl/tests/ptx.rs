//! What a kernel becomes for an NVIDIA GPU. (That it computes the same there takes one: see `crates/wootz-ptx`.)

use msl::ptx::compile;
use msl::{MslError, Ptx, Source};

const HEADER: &str = "#include <metal_stdlib>\nusing namespace metal;\n";

fn ptx(text: &str) -> Result<Ptx, MslError> {
    let cache = tempfile::tempdir().unwrap();
    compile(&Source::new("test.metal", format!("{HEADER}{text}")), cache.path())
}

#[test]
fn buffers_become_addresses_and_arguments_a_struct() {
    let program = ptx("struct Arguments { uint count; float scale; };
        [[max_total_threads_per_threadgroup(128)]]
        kernel void scale(device float* out [[buffer(2)]], constant Arguments& args [[buffer(1)]],
            device const float* in [[buffer(0)]], uint i [[thread_position_in_grid]]) {
            if (i < args.count) out[i] = in[i] * args.scale;
        }")
    .unwrap();
    let entry = program.interface.entry_point("scale").unwrap();
    let begin = program.text.find(&format!(".entry {}(", entry.symbol)).expect("the kernel is an entry");
    let (signature, body) = program.text[begin..].split_once('{').unwrap();
    // In the order of their numbers: the input's address, a struct of two words, the output's address.
    let parameters: Vec<&str> = signature.lines().filter(|line| line.contains(".param")).collect();
    assert_eq!(parameters.len(), 3, "{signature}");
    assert!(parameters[0].contains(".u64") && parameters[2].contains(".u64"), "{signature}");
    assert!(parameters[1].contains(".b8") && parameters[1].contains("[8]"), "{signature}");
    assert!(signature.contains(".maxntid 128, 1, 1"), "{signature}");
    assert!(body.contains("ld.param") && body.contains("st.global"), "{body}");
    assert!(program.text.contains(".target sm_80"));
}

#[test]
fn lanes_shuffle_and_threadgroups_share() {
    let program = ptx("inline float both(float x) { return x + simd_shuffle_xor(x, 1); }
        kernel void sum(device const float* in [[buffer(0)]], device atomic_uint* count [[buffer(1)]],
            device float* out [[buffer(2)]], uint i [[thread_index_in_threadgroup]]) {
            threadgroup float part[64];
            part[i] = both(in[i]);
            threadgroup_barrier(mem_flags::mem_threadgroup);
            if (i == 0) atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
            out[i] = part[63 - i];
        }")
    .unwrap();
    for instruction in ["shfl.sync.bfly", ".shared", "bar.sync", "atom."] {
        assert!(program.text.contains(instruction), "{instruction} is missing in\n{}", program.text);
    }
    // Calls are inlined.
    assert!(!program.text.contains("call"), "{}", program.text);
}

/// Words have an instruction for what lanes do together; other numbers are shuffled.
#[test]
fn words_are_reduced_at_once() {
    let program =
        ptx("kernel void reduce(device uint* words [[buffer(0)]], device int* numbers [[buffer(1)]],
            device float* floats [[buffer(2)]], uint i [[thread_index_in_threadgroup]]) {
            words[i] = simd_max(words[i]) + simd_sum(words[i]) + simd_and(words[i]);
            numbers[i] = simd_min(numbers[i]);
            floats[i] = simd_max(floats[i]);
        }")
        .unwrap();
    for instruction in ["max.u32", "add.s32", "and.b32", "min.s32"] {
        assert!(
            program.text.contains(&format!("redux.sync.{instruction}")),
            "{instruction}\n{}",
            program.text
        );
    }
    assert_eq!(program.text.matches("shfl.sync.bfly").count(), 5, "{}", program.text);
}

/// Sums of words over the lanes before one take a shuffle for each doubling; those of other numbers keep the order of lanes.
#[test]
fn words_before_a_lane_are_added_by_doubling() {
    let shuffles = |kind: &str, function: &str| {
        let text = format!(
            "kernel void before(device {kind}* x [[buffer(0)]], uint i [[thread_index_in_threadgroup]]) {{
                x[i] = {function}(x[i]);
            }}"
        );
        ptx(&text).unwrap().text.matches("shfl.sync").count()
    };
    assert_eq!(shuffles("uint", "simd_prefix_inclusive_sum"), 5);
    assert_eq!(shuffles("int", "simd_prefix_exclusive_sum"), 6);
    assert_eq!(shuffles("float", "simd_prefix_exclusive_sum"), 32);
}

#[test]
fn a_mistake_is_reported_where_it_is() {
    let error = ptx("kernel void wrong(device float* out [[buffer(0)]]) { out[0] = missing; }").unwrap_err();
    let said = error.to_string();
    assert!(said.contains("test.metal:3") && said.contains("missing"), "{said}");
}

#[test]
fn what_was_compiled_is_kept() {
    let cache = tempfile::tempdir().unwrap();
    let text = format!("{HEADER}kernel void one(device float* out [[buffer(0)]]) {{ out[0] = 1.0f; }}");
    let source = Source::new("test.metal", text);
    let first = compile(&source, cache.path()).unwrap();
    let kept: Vec<_> = cache.path().read_dir().unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(std::fs::read_to_string(&kept[0]).unwrap(), first.text);
    assert_eq!(compile(&source, cache.path()).unwrap(), first);
    // Another text is another program.
    let mut other = source;
    other.text = other.text.replace("1.0f", "2.0f");
    assert_ne!(compile(&other, cache.path()).unwrap().text, first.text);
}

/// A kernel waits for the launches before it: at its beginning, or where it says.
#[test]
fn kernels_wait_for_earlier_launches() {
    let program = ptx("kernel void at_once(device float* out [[buffer(0)]]) { out[0] = 1.0f; }
        kernel void later(device const float* weights [[buffer(0)]], device float* out [[buffer(1)]]) {
            const float weight = weights[0];
            msl_after_earlier_launches();
            out[0] = weight;
        }")
    .unwrap();
    assert!(!program.text.contains("griddepcontrol"));
    let overlapping = program.overlapping();
    assert!(overlapping.contains(".target sm_90\n"), "{overlapping}");
    let body = |name: &str| {
        // What a profiler prints is the kernel's own name.
        assert_eq!(program.interface.entry_point(name).unwrap().symbol, name);
        let begin = overlapping.find(&format!(".entry {name}(")).unwrap();
        overlapping[begin..].split("\n}").next().unwrap().to_owned()
    };
    for (name, load) in [("at_once", "ld.param"), ("later", "ld.global")] {
        let body = body(name);
        assert_eq!(body.matches("griddepcontrol.wait;").count(), 1, "{body}");
        let [wait, load, store] =
            ["griddepcontrol.wait;", load, "st.global"].map(|word| body.find(word).unwrap());
        assert_eq!(load < wait, name == "later", "{body}");
        assert!(wait < store, "{body}");
    }
}

/// A kernel may let the next launch begin before it has waited itself.
#[test]
fn the_next_launch_may_begin_early() {
    let program = ptx("kernel void early(device float* out [[buffer(0)]]) {
            msl_let_next_begin();
            msl_after_earlier_launches();
            out[0] = 1.0f;
        }
        kernel void late(device float* out [[buffer(0)]]) { out[0] = 1.0f; }")
    .unwrap();
    // For GPUs that know nothing of it, it is a comment.
    assert!(!program.text.contains("griddepcontrol"), "{}", program.text);
    let overlapping = program.overlapping();
    for name in ["early", "late"] {
        let symbol = &program.interface.entry_point(name).unwrap().symbol;
        let begin = overlapping.find(&format!(".entry {symbol}(")).unwrap();
        let body = overlapping[begin..].split("\n}").next().unwrap();
        let place = |word: &str| body.find(word).unwrap();
        let before = place("griddepcontrol.launch_dependents;") < place("griddepcontrol.wait;");
        assert_eq!(before, name == "early", "{body}");
    }
}

/// A load that may be left out is one instruction under a condition, and no branch.
#[test]
fn a_load_under_a_condition_has_no_branch() {
    let program =
        ptx("kernel void maybe(device const uint* in [[buffer(0)]], device uint* out [[buffer(1)]],
            uint i [[thread_index_in_threadgroup]]) {
            uint x = i;
            msl_load_if(i < 7, in + i, x);
            out[i] = x;
        }")
        .unwrap();
    assert!(
        program.text.contains("@wanted ld.global.u32") && !program.text.contains("bra"),
        "{}",
        program.text
    );
}
