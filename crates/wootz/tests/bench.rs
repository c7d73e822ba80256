//! `wootz bench`: its reports, and what is refused.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn small() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tales-7m.Q8_0.gguf").display().to_string()
}

/// Runs the binary for a user whose kernels for the emulator were compiled by other tests, if any ran.
fn wootz(arguments: &[&str]) -> Output {
    let caches = Path::new(env!("CARGO_TARGET_TMPDIR")).join("caches");
    let mut command = Command::new(env!("CARGO_BIN_EXE_wootz"));
    command.args(arguments).env("HOME", &caches).env("XDG_CACHE_HOME", &caches).stdin(Stdio::null());
    command.output().expect("the binary runs")
}

/// Standard output of a run that must succeed.
fn answer_of(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Standard error of a run that must fail with this code.
fn failure_of(output: Output, code: i32) -> String {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{errors}");
    errors
}

/// On the emulator with the kernels of `--deterministic`, and the same on paper.
#[test]
fn bench_says_when_answers_are_deterministic() {
    let model = small();
    let sizes = ["-p", "0", "-n", "1", "--deterministic", "--device"];
    let on = |device: &[&str], more: &[&str]| {
        answer_of(wootz(&[&["bench", &model][..], more, &sizes, device].concat()))
    };
    let table = on(&["emulator"], &[]);
    assert!(table.lines().next().unwrap().ends_with(", deterministic)"), "{table}");
    let report: Value = serde_json::from_str(&on(&["emulator"], &["--json"])).unwrap();
    assert_eq!(report["deterministic"], true);
    let plan = on(&["m4-max"], &["--plan"]);
    assert!(plan.contains("Kernels are those of --deterministic."), "{plan}");
}

#[test]
fn bench_reports_in_json_and_in_a_table() {
    let model = small();
    let sizes = ["bench", &model, "-p", "32", "-n", "4", "-b", "1,2", "-r", "2", "-t", "1", "--no-limits"];
    let report: Value = serde_json::from_str(&answer_of(wootz(&[&sizes[..], &["--json"]].concat()))).unwrap();
    let results = report["results"].as_array().unwrap();
    let tests: Vec<&str> = results.iter().map(|result| result["test"].as_str().unwrap()).collect();
    assert_eq!(tests, ["pp32", "tg4", "tg4×2"]);
    for result in results {
        let rate = &result["tokens_per_second"];
        assert!(
            rate["lowest"].as_f64().unwrap() > 0.0 && rate["median"].as_f64() <= rate["highest"].as_f64()
        );
        assert_eq!(result["seconds"].as_array().unwrap().len(), 2);
    }
    let table = answer_of(wootz(&sizes));
    assert!(table.contains("| pp32 "), "{table}");
    let nothing = failure_of(wootz(&["bench", &model, "-p", "0", "-n", "0"]), 2);
    assert!(nothing.contains("nothing is left"), "{nothing}");
    let cpu = failure_of(wootz(&[&sizes[..], &["--deterministic"]].concat()), 2);
    assert!(cpu.contains("--deterministic is for GPUs"), "{cpu}");
}

#[test]
fn bench_measures_after_a_context() {
    let model = small();
    let sizes = ["-p", "20", "-n", "2", "-b", "2", "-d", "0,530", "-r", "1", "-t", "1", "--no-limits"];
    let report: Value =
        serde_json::from_str(&answer_of(wootz(&[&["bench", &model, "--json"], &sizes[..]].concat())))
            .unwrap();
    let tests: Vec<_> =
        report["results"].as_array().unwrap().iter().map(|one| (&one["test"], &one["depth"])).collect();
    let (empty, deep) = (Value::from(0), Value::from(530));
    let named = ["pp20", "tg2×2", "pp20 @ d530", "tg2×2 @ d530"].map(Value::from);
    assert_eq!(tests, [(&named[0], &empty), (&named[1], &empty), (&named[2], &deep), (&named[3], &deep)]);
    let deeper = failure_of(wootz(&["bench", &model, "-p", "0", "-n", "1", "-d", "1000000"]), 2);
    assert!(deeper.contains("tg1 @ d1000000 needs a context of 1000001 tokens"), "{deeper}");
}
