//! What the lowering finds in a source, and how it refuses what it can't take.

use msl::lower::{Access, Argument, Builtin, Space};
use msl::{EntryPoint, Interface, MslError, Source, lower};

fn fixture(name: &str) -> Source {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernels");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("the fixture is there");
    Source::new(name, read(name)).with_header("common/block.h", read("common/block.h"))
}

fn interface(source: &Source) -> Interface {
    lower(source).expect("the source is lowered").interface
}

fn buffer(index: u32, name: &str, type_name: &str, access: Access, space: Space) -> Argument {
    Argument::Buffer { index, name: name.into(), type_name: type_name.into(), access, space, condition: None }
}

fn builtin(builtin: Builtin, name: &str, type_name: &str) -> Argument {
    Argument::Builtin { builtin, name: name.into(), type_name: type_name.into() }
}

/// Lowers one line of a kernel `k` and returns the error.
fn refused(text: &str) -> String {
    let source = Source::new("bad.metal", format!("#include <metal_stdlib>\nusing namespace metal;\n{text}"));
    lower(&source).expect_err("the source is refused").to_string()
}

#[test]
fn arguments_are_told_by_their_attributes() {
    let found = interface(&fixture("gemm.metal"));
    let [gemm] = found.entry_points.as_slice() else { panic!("one entry point") };
    assert_eq!((gemm.name.as_str(), gemm.max_threads), ("gemm", None));
    let expected = [
        buffer(0, "a", "device const half*", Access::Read, Space::Device),
        buffer(1, "b", "device const half*", Access::Read, Space::Device),
        buffer(2, "output", "device float*", Access::Write, Space::Device),
        buffer(3, "args", "constant GemmArguments&", Access::Read, Space::Constant),
        Argument::Threadgroup { index: 0, name: "shared".into(), type_name: "threadgroup half*".into() },
        builtin(Builtin::ThreadgroupPositionInGrid, "tile", "uint2"),
        builtin(Builtin::ThreadIndexInThreadgroup, "thread_id", "ushort"),
        builtin(Builtin::SimdgroupIndexInThreadgroup, "simdgroup", "ushort"),
    ];
    assert_eq!(gemm.arguments, expected);
}

#[test]
fn a_limit_on_threads_is_read() {
    let found = interface(&fixture("gemv.metal"));
    assert_eq!(found.entry_points.iter().map(|entry| entry.max_threads).collect::<Vec<_>>(), [Some(64)]);
    assert_eq!(found.entry_points[0].location.to_string(), "gemv.metal:10");
}

#[test]
fn instances_of_a_template_have_their_host_names() {
    let found = interface(&fixture("rope.metal"));
    let names = |entry: &EntryPoint| (entry.name.clone(), entry.location.line);
    let names: Vec<_> = found.entry_points.iter().map(names).collect();
    assert_eq!(names, [("rope_f32".into(), 37), ("rope_f16".into(), 38), ("rope_bf16".into(), 39)]);
    let scale = &found.entry_points[2].arguments[2];
    assert!(matches!(scale, Argument::Buffer { index: 2, condition: Some(name), .. } if name == "has_scale"));
    let constants: Vec<_> =
        found.function_constants.iter().map(|c| (c.index, &*c.name, &*c.type_name)).collect();
    assert_eq!(constants, [(0, "halves", "bool"), (1, "base", "float"), (2, "has_scale", "bool")]);
}

#[test]
fn every_position_has_its_own_number() {
    let mut numbers = std::collections::BTreeSet::new();
    for number in 0..18 {
        let name = [
            "thread_position_in_grid",
            "thread_position_in_threadgroup",
            "threadgroup_position_in_grid",
            "threads_per_threadgroup",
            "threadgroups_per_grid",
            "threads_per_grid",
            "thread_index_in_threadgroup",
            "simdgroup_index_in_threadgroup",
            "thread_index_in_simdgroup",
            "simdgroups_per_threadgroup",
            "threads_per_simdgroup",
            "dispatch_threads_per_threadgroup",
            "dispatch_simdgroups_per_threadgroup",
            "thread_execution_width",
            "quadgroup_index_in_threadgroup",
            "thread_index_in_quadgroup",
            "grid_origin",
            "grid_size",
        ][number as usize];
        let builtin = Builtin::named(name).expect("a known position");
        assert_eq!((builtin.code(), builtin.name()), (number, name));
        numbers.insert(builtin.code());
    }
    assert_eq!(numbers.len(), 18);
    assert_eq!(Builtin::named("vertex_id"), None);
}

#[test]
fn lines_stay_where_they_are() {
    let lowered = lower(&fixture("attention.metal")).expect("the source is lowered");
    let original = std::fs::read_to_string(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernels/attention.metal"),
    );
    let original = original.expect("the fixture is there");
    let wanted =
        original.lines().position(|line| line.contains("sums[simdgroup][lane] = sum")).expect("a line") + 1;
    // Count lines from the last line marker before the statement.
    let mut line = 0;
    for text in lowered.text.lines() {
        let marker =
            text.strip_prefix("# ").and_then(|rest| rest.split(' ').next()).and_then(|n| n.parse().ok());
        line = marker.unwrap_or(line + 1) - usize::from(marker.is_some());
        if text.contains("sums[simdgroup][lane] = sum") {
            assert_eq!(line, wanted);
            return;
        }
    }
    panic!("the statement is gone");
}

#[test]
fn errors_name_the_place_and_what_is_possible() {
    let cases = [
        ("kernel void k(device float* a) {}", "bad.metal:3: parameter `a` needs an attribute"),
        (
            "kernel void k(device float* a [[buffer(31)]]) {}",
            "bad.metal:3: `buffer(31)`: the highest index is 30",
        ),
        ("kernel void k(device float* a [[buffer(N)]]) {}", "takes a plain number here"),
        ("kernel void k(float* a [[buffer(0)]]) {}", "buffer `a` must lie in `device` or `constant` memory"),
        ("kernel void k(device float a [[buffer(0)]]) {}", "buffer `a` must be a pointer or a reference"),
        (
            "kernel void k(device float* a [[buffer(0)]],\n device float* b [[buffer(0)]]) {}",
            "bad.metal:4: two parameters have the attribute `buffer(0)`",
        ),
        ("kernel void k(device float* a [[texture(0)]]) {}", "parameter `a` has the attribute `texture`"),
        (
            "kernel void k() { threadgroup float x = 0.0f; }",
            "threadgroup variable `x` cannot have an initial value",
        ),
        ("kernel void k() {}\nkernel void k() {}", "bad.metal:4: a second kernel is called `k`"),
        (
            "template [[host_name(\"k\")]] kernel void k<float>();",
            "no kernel template of this name comes before",
        ),
        (
            "template <typename T> kernel void k() {}\ntemplate kernel void k<float>();",
            "needs a [[host_name(\"…\")]]",
        ),
        ("[[vertex]] float k() { return 0.0f; }", "attribute `vertex` is not one of kernel, host_name"),
        ("kernel void k() {", "bad.metal:3: `{` has no partner"),
        ("kernel void k() { float x = (1.0f]; }", "bad.metal:3: `(` has no partner"),
        ("bool b = is_function_constant_defined(c);", "takes the name of a function constant"),
    ];
    for (text, message) in cases {
        let found = refused(text);
        assert!(found.contains(message), "{text}\n  gives  {found}\n  not    {message}");
    }
}

#[test]
fn a_missing_header_is_named() {
    let error =
        lower(&Source::new("a.metal", "#include \"common/tile.h\"\n")).expect_err("there is no such header");
    assert!(error.to_string().contains("'common/tile.h' file not found"), "{error}");
}

#[test]
fn names_cannot_leave_the_folder() {
    for name in ["", "../a.metal", "/a.metal", "a/../b.metal", "-o", "a\nb.metal", "a\"b.metal"] {
        let error = lower(&Source::new(name, "")).expect_err("the name is refused");
        assert!(matches!(error, MslError::BadName { .. }), "{name}: {error}");
    }
}

#[test]
fn macros_may_be_given() {
    let text = "kernel void KERNEL(device float* a [[buffer(INDEX)]]) {}";
    let source = Source::new("a.metal", text).with_define("KERNEL", "scale").with_define("INDEX", "7");
    let found = interface(&source);
    assert_eq!(found.entry_points[0].name, "scale");
    assert_eq!(
        found.entry_points[0].arguments,
        [buffer(7, "a", "device float*", Access::Write, Space::Device)]
    );
}

#[test]
fn members_and_references_lose_the_spaces_that_clang_does_not_know_there() {
    let text = "struct S {\n    float x;\n    float get() const device { return x; }\n    float get() const constant { return x; }\n\
                thread float& at() { return x; }\n    S() = default;\n    static float one() { return 1.0f; }\n};\n\
                float f(thread const float4& v, thread float4& w, thread const S& s) { return v.x + w.x; }\n";
    let lowered = lower(&Source::new("a.metal", text)).expect("the source is lowered").text;
    let lowered = lowered.split_whitespace().collect::<Vec<_>>().join(" ");
    for expected in ["float get() const { return x; }", "thread float& at() __private { return x; }"] {
        assert_eq!(lowered.matches(expected).count(), 1, "{expected}\n{lowered}");
    }
    assert!(lowered.contains("static float one() { return"), "{lowered}");
    assert!(lowered.contains("float f( const float4& v, thread float4& w, thread const S& s)"), "{lowered}");
}
