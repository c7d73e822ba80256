//! Compiled libraries are kept: one caller compiles, the others wait, and what is damaged is made again.

use msl::{Mode, Options, Source, compile};

fn source(factor: u32) -> Source {
    let text = format!(
        "#include <metal_stdlib>\nusing namespace metal;\n\
         kernel void scale(device float* x [[buffer(0)]], uint i [[thread_position_in_grid]]) {{ x[i] *= {factor}.0f; }}"
    );
    Source::new("scale.metal", text)
}

#[test]
fn callers_at_the_same_time_share_one_library() {
    let cache = tempfile::tempdir().expect("a folder");
    let options = Options { mode: Mode::Fast, cache: cache.path().join("msl") };
    let libraries: Vec<_> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4).map(|_| scope.spawn(|| compile(&source(2), &options))).collect();
        callers.into_iter().map(|caller| caller.join().expect("no panic").expect("it compiles")).collect()
    });
    assert!(libraries.iter().all(|library| *library == libraries[0]));
    let folders = std::fs::read_dir(&options.cache).expect("the cache").filter_map(Result::ok);
    assert_eq!(folders.filter(|entry| entry.path().is_dir()).count(), 1);
}

#[test]
fn every_part_of_a_source_tells_libraries_apart() {
    let cache = tempfile::tempdir().expect("a folder");
    let path = |source: &Source, mode| {
        let options = Options { mode, cache: cache.path().into() };
        compile(source, &options).expect("it compiles").path
    };
    let first = path(&source(2), Mode::Fast);
    let others = [
        path(&source(3), Mode::Fast),
        path(&source(2), Mode::Checked),
        path(&source(2).with_define("A", "1"), Mode::Fast),
        path(&source(2).with_header("a.h", ""), Mode::Fast),
        path(&Source { name: "other.metal".into(), ..source(2) }, Mode::Fast),
    ];
    assert!(others.iter().all(|other| *other != first));
    assert_eq!(path(&source(2), Mode::Fast), first);
}

#[test]
fn a_damaged_library_is_made_again() {
    let cache = tempfile::tempdir().expect("a folder");
    let options = Options { mode: Mode::Fast, cache: cache.path().into() };
    let first = compile(&source(2), &options).expect("it compiles");
    for damage in
        [std::fs::remove_file(&first.path), std::fs::write(first.path.with_file_name("interface.json"), "{")]
    {
        damage.expect("the cache can be written");
        assert_eq!(compile(&source(2), &options).expect("it compiles"), first);
        assert!(first.path.is_file());
    }
}

#[test]
fn a_refused_source_leaves_nothing_behind() {
    let cache = tempfile::tempdir().expect("a folder");
    let options = Options { mode: Mode::Fast, cache: cache.path().into() };
    let bad = Source::new("bad.metal", "kernel void k(device float* a [[buffer(0)]]) {\n  a[0] = b;\n}\n");
    let error = compile(&bad, &options).expect_err("`b` is not declared").to_string();
    assert!(error.contains("bad.metal:2:10: error: use of undeclared identifier 'b'"), "{error}");
    let left = std::fs::read_dir(cache.path()).expect("the cache").filter_map(Result::ok);
    assert!(left.map(|entry| entry.path()).all(|path| path.extension().is_some_and(|kind| kind == "lock")));
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let options = Options { mode: Mode::Fast, cache: file.path().join("msl") };
    let error = compile(&source(2), &options).expect_err("a file is no folder").to_string();
    assert!(error.starts_with("cannot create") && error.contains("msl"), "{error}");
}
