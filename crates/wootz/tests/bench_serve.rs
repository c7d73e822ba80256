//! `wootz bench serve`: what is refused, and how; and a load on `wootz serve`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

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

/// A running `wootz serve`, which ends with it.
struct Serving {
    child: Child,
    address: String,
}

impl Serving {
    fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut child = Command::new(env!("CARGO_BIN_EXE_wootz"))
            .args(["serve", "models/tales-7m.Q8_0.gguf", "--port", "0", "--threads", "1"])
            .current_dir(root)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let lines = BufReader::new(child.stderr.take().expect("it is piped")).lines().map_while(Result::ok);
        let mut lines = lines.inspect(|line| println!("{line}"));
        let address = lines.find_map(|line| line.strip_prefix("listening at ").map(str::to_string));
        // Whatever else it says must find a reader, or the server would wait for one.
        std::thread::spawn(move || lines.count());
        Self { child, address: address.expect("it says where it listens") }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn load_on_a_server_is_measured_and_drawn() {
    let serving = Serving::start();
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("load.html").display().to_string();
    let url = format!("small={}", serving.address);
    let arguments = ["bench", "serve", "--url", &url, "--streams", "1,3", "--requests-per-stream", "2"];
    let lengths = ["--shared-prefix", "1:48", "-p", "20", "-n", "9", "--rounds", "2", "--slo", "e2e=1000m"];
    let output = wootz(&[&arguments[..], &lengths, &["--json", "--html", &page]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["servers"][0]["kind"], "wootz");
    for (load, streams) in report["loads"].as_array().unwrap().iter().zip([1, 3]) {
        let all = &load["servers"][0]["together"];
        let requests = 2 * 2 * streams;
        assert_eq!(all["answered"], requests, "{all}");
        // Every answer has its tokens, whatever end the model would have made.
        assert_eq!(all["output_tokens"], 9 * requests);
        assert_eq!(all["inter_token"]["count"], 8 * requests);
        assert_eq!(all["goodput"]["share"], 1.0);
        assert!(all["prompt_tokens"].as_u64().unwrap() > 50 * requests);
        assert!(all["cache_hit_rate"].is_number());
    }
    let page = std::fs::read_to_string(page).unwrap();
    assert!(
        page.starts_with("<!DOCTYPE html>") && page.contains("3 streams, prompt 48 shared in 1 groups + 20")
    );
    let table = wootz(&[&arguments[..], &["-n", "3", "-p", "9"]].concat());
    let text = String::from_utf8_lossy(&table.stdout).into_owned();
    let rows = ["| time to first token ", "| output tokens/s ", "requests answered", "6 of 6"];
    assert!(rows.iter().all(|row| text.contains(row)), "{text}");
}
