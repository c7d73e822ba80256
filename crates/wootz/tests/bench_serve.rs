//! `wootz bench serve` without a server: what is refused, and how.

use std::process::{Command, Output};

fn wootz(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wootz")).args(arguments).output().expect("the binary runs")
}

/// Standard error of a run that must fail with this code.
fn failure(arguments: &[&str], code: i32) -> String {
    let output = wootz(&[&["bench", "serve"], arguments].concat());
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{errors}");
    errors
}

#[test]
fn wrong_arguments_are_refused_by_name() {
    assert!(failure(&["--url", "https://localhost"], 2).contains("https is not supported, only http"));
    let twice = ["--url", "a=http://localhost:1", "--url", "a=http://localhost:2"];
    assert!(failure(&twice, 2).contains("two servers are called a"));
    assert!(failure(&["--slo", "speed=1s"], 2).contains("\"speed\" is no latency: ttft, itl, tpot, e2e"));
    assert!(failure(&["--shared-prefix", "3"], 2).contains("GROUPS:TOKENS"));
    assert!(failure(&["--streams", "2", "--rate", "3"], 2).contains("cannot be used with"));
    assert!(failure(&["--rate", "0"], 2).contains("above zero"));
    assert!(failure(&["--extra", "[]"], 2).contains("--extra is no JSON object"));
    // The model's own benchmark goes on beside it, with its own refusals.
    let output = wootz(&["bench", "--prompt", "0", "--generate", "0"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn files_and_servers_that_are_not_there_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.csv");
    std::fs::write(&path, "TIMESTAMP,ContextTokens,GeneratedTokens\nnoon,1,2\n").unwrap();
    let trace = path.display().to_string();
    let wrong = failure(&["--trace", &trace], 1);
    assert!(wrong.contains("trace.csv, line 2: \"noon\" is no time"), "{wrong}");
    assert!(failure(&["--prompts", "no/such.jsonl"], 1).contains("cannot read no/such.jsonl"));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let gone = failure(&["--url", &url], 1);
    assert!(gone.contains("does not answer") && gone.contains("note: start the server first"), "{gone}");
}
