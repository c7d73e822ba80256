//! The built binary on the models that the repository ships.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn small() -> String {
    root().join("models/tales-7m.Q8_0.gguf").display().to_string()
}

/// The caches of tests: kernels are compiled for the emulator once.
fn caches() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("caches")
}

/// A user who has compiled kernels, and whose devices nobody has examined yet.
#[cfg(unix)]
fn fresh_user() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let shared = caches().join("wootz/msl");
    std::fs::create_dir_all(&shared).unwrap();
    std::fs::create_dir_all(home.path().join("wootz")).unwrap();
    std::os::unix::fs::symlink(shared, home.path().join("wootz/msl")).unwrap();
    home
}

/// Runs the binary with some standard input.
fn wootz_with(input: &[u8], arguments: &[&str]) -> Output {
    wootz_of(&caches(), input, arguments)
}

/// Runs the binary for a user whose caches are in this folder.
fn wootz_of(home: &Path, input: &[u8], arguments: &[&str]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_wootz"))
        .args(arguments)
        .current_dir(root())
        .env("HOME", home)
        .env("XDG_CACHE_HOME", home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    // A command that does not read its input may have ended before it could be written.
    let _ = child.stdin.take().expect("it is piped").write_all(input);
    child.wait_with_output().expect("the binary ends")
}

fn wootz(arguments: &[&str]) -> Output {
    wootz_with(b"", arguments)
}

/// Standard output of a run that must succeed.
fn answer_of(output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).expect("the answer is UTF-8")
}

/// Standard error of a run that must fail with this code.
fn failure_of(output: Output, code: i32) -> String {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{errors}");
    errors
}

#[test]
fn a_greedy_answer_is_the_same_every_time_and_alone_on_standard_output() {
    let arguments = ["run", "Tell me a story about a boat", "--temperature", "0", "-n", "40"];
    let first = wootz(&arguments);
    let figures = String::from_utf8_lossy(&first.stderr).into_owned();
    assert!(figures.contains("tokens/s") && figures.contains("generated 40 tokens"), "{figures}");
    let text = answer_of(first);
    assert!(text.to_lowercase().contains("boat"), "{text}");
    assert_eq!(answer_of(wootz(&arguments)), text);
    let one_thread = answer_of(wootz(&[&arguments[..], &["--threads", "1"]].concat()));
    assert_eq!(one_thread, text);
}

#[test]
fn a_seed_makes_an_answer_repeatable() {
    let model = small();
    let with_seed =
        |seed| answer_of(wootz(&["run", &model, "Tell me a story", "--seed", seed, "-n", "30", "--quiet"]));
    assert_eq!(with_seed("5"), with_seed("5"));
    assert_ne!(with_seed("5"), with_seed("6"));
}

#[test]
fn standard_input_is_the_prompt_or_follows_it() {
    let model = small();
    let greedy = ["--temperature", "0", "-n", "16", "--quiet"];
    let argument = answer_of(wootz(&[&["run", &model, "Hello there"][..], &greedy].concat()));
    let piped = answer_of(wootz_with(b"Hello there", &[&["run", model.as_str()][..], &greedy].concat()));
    assert_eq!(argument, piped);
    let both = answer_of(wootz_with(b"there", &[&["run", &model, "Hello"][..], &greedy].concat()));
    let joined = answer_of(wootz(&[&["run", &model, "Hello\n\nthere"][..], &greedy].concat()));
    assert_eq!(both, joined);
    let empty = failure_of(wootz(&["run", &model]), 2);
    assert!(empty.contains("the prompt is empty"), "{empty}");
}

#[test]
fn raw_text_is_continued_and_stop_strings_end_it() {
    let model = small();
    let raw = ["run", &model, "Once upon a time", "--raw", "--temperature", "0", "--quiet", "-n", "40"];
    let text = answer_of(wootz(&raw));
    let word = text.split_whitespace().nth(4).expect("it says something");
    let stopped = answer_of(wootz(&[&raw[..], &["--stop", word]].concat()));
    assert_eq!(stopped.trim_end_matches('\n'), text.split(word).next().unwrap());
}

#[test]
fn json_lines_hold_tokens_text_and_figures() {
    let model = small();
    let arguments =
        ["run", &model, "Hello", "--json", "--logprobs", "3", "--seed", "1", "-n", "12", "--quiet"];
    let lines: Vec<Value> = answer_of(wootz(&arguments))
        .lines()
        .map(|line| serde_json::from_str(line).expect("every line is JSON"))
        .collect();
    let (end, events) = lines.split_last().unwrap();
    let tokens: Vec<&Value> = events.iter().filter(|event| event["type"] == "token").collect();
    assert_eq!(end["usage"]["completion_tokens"], tokens.len());
    for token in &tokens {
        assert!(token["logprob"].as_f64().unwrap() <= 0.0);
        assert_eq!(token["top"].as_array().unwrap().len(), 3);
    }
    let text: String = events.iter().filter_map(|event| event["text"].as_str()).collect();
    assert_eq!(end["text"], text);
    assert_eq!(end["seed"], 1);
    let silent = failure_of(wootz(&["run", &model, "Hello", "--logprobs", "3"]), 2);
    assert!(silent.contains("--json"), "{silent}");
}

#[test]
fn tokens_are_listed_and_round_trip() {
    let model = small();
    let text = "Hello wörld!\n  Two spaces, 1234.";
    let ids = answer_of(wootz_with(text.as_bytes(), &["tokenize", &model, "--ids", "--no-special"]));
    assert_eq!(ids.lines().count(), 1);
    let ids: Vec<&str> = ids.split_whitespace().collect();
    let listed = answer_of(wootz_with(text.as_bytes(), &["tokenize", &model, "--no-special"]));
    assert_eq!(listed.lines().count(), ids.len() + 1);
    for (line, id) in listed.lines().zip(&ids) {
        assert_eq!(line.split_whitespace().next(), Some(*id));
    }
    // ChatML's marks are one token each, or plain text, as asked.
    let marked =
        |arguments: &[&str]| answer_of(wootz_with(b"<|im_start|>", arguments)).split_whitespace().count();
    assert!(marked(&["tokenize", &model, "--ids"]) <= 2);
    assert!(marked(&["tokenize", &model, "--ids", "--no-special"]) > 2);
    let broken = failure_of(wootz_with(b"ab\xffcd", &["tokenize", &model]), 1);
    assert!(broken.contains("byte 2"), "{broken}");
}

#[test]
fn info_shows_what_a_model_is() {
    let model = small();
    let text = answer_of(wootz(&["info", &model, "--context", "512", "--tensors"]));
    for part in [
        "LlamaForCausalLM",
        "4 layers",
        "Q8_0",
        "context of 512 tokens",
        "chat template yes",
        "blk.0.attn_q.weight",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
}

#[test]
fn perplexity_of_a_text() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("text.txt");
    std::fs::write(&file, "The little boat sailed over the sea, and the children were happy. ".repeat(20))
        .unwrap();
    let (model, file) = (small(), file.display().to_string());
    let text = answer_of(wootz(&["perplexity", &model, &file, "--context", "64", "--chunks", "3"]));
    let value: f64 = text.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(
        text.starts_with("perplexity") && text.contains("3 chunks") && value > 1.0 && value < 500.0,
        "{text}"
    );
    let short = failure_of(wootz(&["perplexity", &model, &file, "--context", "1000"]), 1);
    assert!(short.contains("needs at least 2000"), "{short}");
}

#[test]
fn completions_are_scripts() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(answer_of(wootz(&["completions", shell])).contains("wootz"));
    }
}

#[test]
fn what_cannot_be_done_is_said_with_the_next_step() {
    let model = small();
    let missing = failure_of(wootz(&["run", "no/such.gguf", "Hello"]), 1);
    assert!(
        missing.contains("no/such.gguf") && missing.contains("GGUF file or a Hugging Face folder"),
        "{missing}"
    );
    let no_model = failure_of(wootz(&["info", "Cargo.toml"]), 1);
    assert!(no_model.contains("Cargo.toml"), "{no_model}");
    let option = failure_of(wootz(&["run", &model, "Hello", "--top-p", "7"]), 2);
    assert!(option.contains("top-p is 7"), "{option}");
    let bias = failure_of(wootz(&["run", &model, "Hello", "--logit-bias", "99999999=1"]), 2);
    assert!(bias.contains("99999999"), "{bias}");
    let context = failure_of(wootz(&["run", &model, "Hello", "--context", "99999"]), 2);
    assert!(context.contains("at most 1024"), "{context}");
    let long = "word ".repeat(3000);
    let full = failure_of(wootz(&["run", &model, &long]), 1);
    assert!(full.contains("leaves no room for an answer") && full.contains("--context"), "{full}");
    failure_of(wootz(&["run", "--no-such-option"]), 2);
    failure_of(wootz(&["dance"]), 2);
    failure_of(wootz(&[]), 2);
}

#[test]
fn the_emulator_answers_as_the_processor_does() {
    let model = small();
    let on = |device, more: &[&str]| {
        let run = ["run", &model, "Tell me a story", "--temperature", "0", "--quiet", "--device", device];
        answer_of(wootz(&[&run[..], more].concat()))
    };
    let text = on("cpu", &["-n", "6"]);
    assert_eq!(on("emulator", &["-n", "6"]), text);
    assert_eq!(on("emulator:2", &["-n", "6"]), text);
    let lines = on("emulator", &["-n", "3", "--json", "--logprobs", "2", "--deterministic"]);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (end, events) = lines.split_last().unwrap();
    assert!(text.starts_with(end["text"].as_str().unwrap()), "{end} of {text}");
    let tokens = events.iter().filter(|event| event["type"] == "token");
    assert!(
        tokens.clone().count() == 3 && tokens.clone().all(|token| token["logprob"].as_f64() <= Some(0.0))
    );
}

#[cfg(unix)]
#[test]
fn a_device_is_examined_and_what_is_wrong_is_not_used() {
    let (home, model) = (fresh_user(), small());
    let report = home.path().join("report.json").display().to_string();
    let doctor = ["doctor", &model, "--device", "emulator", "--report", &report];
    let run = ["run", &model, "Hello", "--temperature", "0", "-n", "2", "--quiet", "--device", "emulator"];
    let ask = |arguments: &[&str]| wootz_of(home.path(), b"", arguments);
    let table = answer_of(ask(&doctor));
    for part in ["emulator (", "| probe ", "| gemv ", "right"] {
        assert!(table.contains(part), "{part} is missing in {table}");
    }
    assert!(!table.contains("WRONG"), "{table}");
    let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    assert!(report["device"] == "emulator" && report["findings"][0]["concept"] == "probe", "{report}");
    let text = answer_of(ask(&run));

    let find = |folder: PathBuf| folder.read_dir().ok()?.next()?.ok().map(|file| file.path());
    let places = ["wootz/devices", "Library/Caches/wootz/devices"].map(|place| home.path().join(place));
    let kept = places.into_iter().find_map(find).expect("the verdict is kept");
    let verdict = |wrong: &str| {
        let mut choices: Value = serde_json::from_slice(&std::fs::read(&kept).unwrap()).unwrap();
        choices["excluded"] = serde_json::json!([wrong]);
        std::fs::write(&kept, choices.to_string()).unwrap();
    };
    verdict("gemv_q8_0");
    let switched = ask(&run);
    let said = String::from_utf8_lossy(&switched.stderr).into_owned();
    assert!(said.contains("not used on emulator") && said.contains("gemv_q8_0"), "{said}");
    assert_eq!(answer_of(switched), text);
    verdict("rms_norm");
    let refused = failure_of(ask(&run), 1);
    assert!(refused.contains("needs rms_norm") && refused.contains("--device cpu"), "{refused}");
    // A kernel that is right again is used again.
    answer_of(ask(&doctor));
    answer_of(ask(&run));
}

#[test]
fn tuning_measures_every_shape_and_the_emulator_keeps_nothing() {
    let tiny = root().join("crates/wootz-backend/tests/fixtures/models/llama").display().to_string();
    let tune = wootz(&["tune", &tiny, "--device", "emulator", "--rows", "1,9", "-r", "1"]);
    let said = String::from_utf8_lossy(&tune.stderr).into_owned();
    let table = answer_of(tune);
    for rows in ["| f32 1x", "| f32 16x"] {
        // Head, keys and values, queries and outputs, and the two shapes of the feed-forward part.
        assert_eq!(table.lines().filter(|line| line.starts_with(rows)).count(), 5, "{table}");
    }
    assert!(said.contains("no winners are kept"), "{said}");
}

#[test]
fn what_a_device_cannot_do_is_said() {
    let model = small();
    let refused = |arguments: &[&str]| failure_of(wootz(arguments), 2);
    let cpu = refused(&["run", &model, "Hello", "--deterministic"]);
    assert!(cpu.contains("are for GPUs"), "{cpu}");
    assert!(refused(&["run", &model, "Hello", "--gemm", "metal"]).contains("are for GPUs"));
    if cfg!(not(target_os = "macos")) {
        let mps = refused(&["run", &model, "Hello", "--device", "emulator", "--gemm", "mps"]);
        assert!(mps.contains("needs a Mac"), "{mps}");
        assert!(refused(&["run", &model, "Hello", "--device", "metal"]).contains("emulator"));
    }
    assert!(refused(&["doctor", "--device", "cpu"]).contains("no kernels to examine"));
    assert!(refused(&["tune", &model, "--device", "cpu"]).contains("nothing to tune"));
    let missing = failure_of(wootz(&["doctor", "no/such.gguf", "--device", "emulator"]), 1);
    assert!(missing.contains("no/such.gguf"), "{missing}");
    let no_clang = Command::new(env!("CARGO_BIN_EXE_wootz"))
        .args(["doctor", &model, "--device", "emulator"])
        .env("PATH", caches())
        .output()
        .unwrap();
    let no_clang = failure_of(no_clang, 1);
    assert!(no_clang.contains("clang"), "{no_clang}");
}

#[cfg(feature = "cuda")]
#[test]
fn a_build_for_nvidias_gpus_runs_without_one() {
    let (model, report) = (small(), caches().join("no-gpu.json").display().to_string());
    let without = |arguments: &[&str]| {
        // A driver that is there shows no GPU.
        let mut command = Command::new(env!("CARGO_BIN_EXE_wootz"));
        command.args(arguments).current_dir(root()).env("CUDA_VISIBLE_DEVICES", "");
        command.env("HOME", caches()).env("XDG_CACHE_HOME", caches()).stdin(Stdio::null());
        command.output().expect("the binary runs")
    };
    let run = ["run", &model, "Tell me a story", "--temperature", "0", "-n", "6"];
    let plain = without(&run);
    let said = String::from_utf8_lossy(&plain.stderr).into_owned();
    assert!(!said.contains("runs on"), "{said}");
    let on_cpu = answer_of(without(&[&run[..], &["--device", "cpu"]].concat()));
    assert_eq!(answer_of(plain), on_cpu);
    let commands: [&[&str]; 6] = [
        &run,
        &["serve", &model, "--port", "0"],
        &["bench", &model, "-p", "0", "-n", "1", "-r", "1"],
        &["doctor", &model, "--report", &report],
        &["tune", &model],
        &["perplexity", &model, "README.md", "--chunks", "1"],
    ];
    for command in commands {
        for gpu in ["cuda", "cuda:1"] {
            let refused = failure_of(without(&[command, &["--device", gpu]].concat()), 1);
            assert!(refused.contains("no CUDA device: ") && refused.contains("--device cpu"), "{refused}");
        }
        let refused = failure_of(without(&[command, &["--device", "cuda:x"]].concat()), 2);
        assert!(refused.contains("cuda:x names no GPU"), "{refused}");
    }
    let refused = failure_of(without(&["run", &model, "Hello", "--device", "cuda", "-t", "2"]), 2);
    assert!(refused.contains("a GPU has no use for --threads"), "{refused}");
    let refused = failure_of(without(&["bench", &model, "--profile", "-r", "1"]), 2);
    assert!(refused.contains("--profile is for GPUs"), "{refused}");
}

#[cfg(unix)]
#[test]
fn a_reader_that_leaves_is_no_error() {
    let model = small();
    let mut child = Command::new(env!("CARGO_BIN_EXE_wootz"))
        .args(["run", &model, "Tell me a long story", "-n", "200", "--quiet"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
