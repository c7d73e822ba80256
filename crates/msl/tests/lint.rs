//! Each rule of the lint finds what it is for, and none finds anything in sound kernels.

use msl::{Rule, Source, lint};

const HEADER: &str = "#include <metal_stdlib>\nusing namespace metal;\n";

fn source(text: &str) -> Source {
    Source::new("lint.metal", format!("{HEADER}{text}"))
}

/// Asserts that a source, whose text begins on line 3, breaks one rule on one line.
#[track_caller]
fn breaks(rule: Rule, line: u32, text: &str) {
    let findings = lint(&source(text)).unwrap_or_else(|error| panic!("{text}\n{error}"));
    let found: Vec<_> = findings.iter().map(|finding| (finding.rule, finding.location.line)).collect();
    assert_eq!(found, [(rule, line)], "{text}\n{findings:?}");
}

#[track_caller]
fn is_clean(text: &str) {
    let findings = lint(&source(text)).unwrap_or_else(|error| panic!("{text}\n{error}"));
    assert!(findings.is_empty(), "{text}\n{findings:?}");
}

#[test]
fn pointers_and_references_need_a_memory_space() {
    breaks(Rule::AddressSpace, 3, "float sum(const float* x) { return x[0]; }");
    breaks(Rule::AddressSpace, 3, "float sum(const float4& x) { return x.x; }");
    breaks(Rule::AddressSpace, 4, "struct S { float x; };\nfloat sum(S& s) { return s.x; }");
    breaks(Rule::AddressSpace, 3, "template <typename T> T sum(T* x) { return x[0]; }");
    breaks(Rule::AddressSpace, 3, "float first(device float** x) { return **x; }");
    breaks(
        Rule::AddressSpace,
        3,
        "float first(thread vec<float, 4>& x, const vec<float, 4>& y) { return x.x; }",
    );
    is_clean(
        "float product(float a, float b) { return a * b; }\nuint bits(uint a, uint b) { return a & b; }",
    );
    is_clean("template <typename T> T first(device const T* x, thread T& y) { return x[0] * y; }");
    is_clean("float first(device float* device* x) { return **x; }");
    is_clean("uint size(uint n) { return sizeof(float) * n + uint(float4(1.0f).x) * n; }");
}

#[test]
fn device_memory_is_not_constant_memory() {
    let kernel = |body: &str| {
        format!(
            "float first(constant float* x) {{ return x[0]; }}\nconstant float table[2] = {{1.0f, 2.0f}};\n\
             kernel void k(device float* a [[buffer(0)]], constant float* c [[buffer(1)]]) {{\n{body}\n}}"
        )
    };
    breaks(Rule::DeviceToConstant, 6, &kernel("a[0] = first(a);"));
    breaks(Rule::DeviceToConstant, 6, &kernel("constant float* x = a; a[0] = x[0];"));
    breaks(Rule::DeviceToConstant, 6, &kernel("constant float4* x = (constant float4*)a; a[0] = x[0].x;"));
    is_clean(&kernel("a[0] = first(c) + first(table) + ((constant float4*)c)[0].x;"));
}

#[test]
fn members_are_for_objects_of_a_thread_unless_they_say_more() {
    let kernel = |qualifier: &str| {
        format!(
            "struct S {{ float x; float get() const {qualifier} {{ return x; }} thread float& at() {{ return x; }} }};\n\
             S make(float x) {{ S s; s.at() = x; return s; }}\n\
             kernel void k(device S* a [[buffer(0)]]) {{\n\
             a[0].x = make(1.0f).x + a[1].get();\n}}"
        )
    };
    breaks(Rule::MemberSpace, 6, &kernel(""));
    is_clean(&kernel("device"));
}

#[test]
fn variables_outside_of_functions_are_constant() {
    breaks(Rule::ProgramScope, 3, "uint counter;");
    breaks(Rule::ProgramScope, 3, "const float scale = 2.0f;");
    breaks(Rule::ProgramScope, 3, "constexpr uint rows[2] = {1, 2};");
    breaks(Rule::ProgramScope, 3, "struct S { static constexpr uint rows = 4; };");
    is_clean("constant float scale = 2.0f;\nconstant constexpr uint rows[] = {1, 2};\nstruct S { uint x; };");
    is_clean("struct S { static constant constexpr uint rows = 4; uint x; };\nenum Kind { A, B };");
    is_clean(
        "namespace n {\ntypedef struct { uint x; } T;\nusing U = T;\ninline uint f(U u) { return u.x; }\n}",
    );
    is_clean(
        "template <typename T> struct S { T x; T get() const { return x; } };\ntemplate struct S<float>;",
    );
}

#[test]
fn functions_keep_nothing() {
    breaks(Rule::MutableStatic, 3, "uint next() { static uint n = 0; return n++; }");
    breaks(
        Rule::MutableStatic,
        5,
        "uint f(uint x) {\n  if (x > 1) {\n    static uint n = 0; x += n;\n  }\n  return x;\n}",
    );
}

#[test]
fn functions_have_no_address_and_no_lambdas() {
    breaks(Rule::Lambda, 3, "int f() { auto g = [](int x) { return x; }; return g(1); }");
    breaks(
        Rule::Lambda,
        4,
        "template <typename F> int g(F f) { return f(1); }\nint h() { return g([](int x) { return x; }); }",
    );
    breaks(
        Rule::FunctionPointer,
        4,
        "float g(float x) { return x; }\nfloat f(float x) { float (*h)(float) = g; return h(x); }",
    );
    is_clean("float f(thread float (&x)[4], uint i) { return x[i] + (x[0]); }");
}

#[test]
fn functions_do_not_come_back_to_themselves() {
    breaks(
        Rule::Recursion,
        4,
        "\nuint f(uint x) { return x < 2 ? x : f(x - 1); }\nkernel void k(device uint* a [[buffer(0)]]) { a[0] = f(a[1]); }",
    );
    let mutual =
        "uint g(uint x);\nuint f(uint x) { return g(x); }\nuint g(uint x) { return x < 2 ? x : f(x - 1); }";
    let findings = lint(&source(mutual)).expect("it compiles");
    assert_eq!(findings.iter().map(|finding| finding.location.line).collect::<Vec<_>>(), [4, 5]);
    is_clean(
        "float f(float x) { return x; }\nfloat4 f(float4 x) { return float4(f(x.x), f(x.y), f(x.z), f(x.w)); }",
    );
}

#[test]
fn only_metals_attributes_and_words_are_used() {
    breaks(Rule::UnknownAttribute, 3, "[[gnu::noinline]] float f(float x) { return x; }");
    breaks(Rule::UnknownAttribute, 3, "[[noinline]] float f(float x) { return x; }");
    breaks(Rule::UnknownAttribute, 3, "__attribute__((noinline)) float f(float x) { return x; }");
    breaks(Rule::Double, 3, "float f(float x) { return (double)x; }");
    breaks(Rule::Goto, 3, "float f(float x) { goto end; end: return x; }");
    breaks(Rule::Exception, 3, "float f(float x) { throw x; }");
    breaks(Rule::DynamicMemory, 3, "float f() { thread float* x = new float; return *x; }");
    breaks(Rule::Virtual, 3, "struct S { virtual float f() { return 0.0f; } };");
    is_clean("struct S { float x; S() = delete; };");
}

/// Half and bfloat meet only in float: clang itself refuses the rest, as Metal does.
#[test]
fn half_and_bfloat_do_not_convert() {
    for text in [
        "half f(bfloat x) { return x; }",
        "half f(bfloat x) { return half(x); }",
        "bfloat f(half x) { return x; }",
    ] {
        assert!(lint(&source(text)).is_err(), "{text}");
    }
    is_clean("half f(bfloat x) { return half(float(x)); }\nbfloat g(half x) { return bfloat(float(x)); }");
}

#[test]
fn the_kernels_of_the_lowering_tests_are_clean() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernels");
    let block = std::fs::read_to_string(folder.join("common/block.h")).expect("the header is there");
    for name in ["norm", "rope", "gemv", "gemm", "attention"] {
        let text =
            std::fs::read_to_string(folder.join(format!("{name}.metal"))).expect("the kernel is there");
        let source = Source::new(format!("{name}.metal"), text).with_header("common/block.h", block.clone());
        assert_eq!(lint(&source).expect("it compiles"), []);
    }
}
