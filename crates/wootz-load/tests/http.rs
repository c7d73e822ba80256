//! Whole sessions over HTTP, against a server whose answers are known. Counts are exact; no test looks at a clock.

mod common;

use std::cell::Cell;

use common::{Manner, Seen, Trouble, options, start};
use serde_json::{Value, json};
use tokio::sync::watch;
use wootz_load::LoadError;
use wootz_load::http::{Endpoint, Length, RequestOptions, Server};
use wootz_load::plan::{Arrivals, Prompts, Workload};
use wootz_load::prompts::Conversation;
use wootz_load::report::Report;
use wootz_load::server::{Kind, Target};
use wootz_load::session::{Happening, Load, SessionSettings, measure};

fn manner() -> Manner {
    Manner { owner: "someone", bursts: vec![1], cut: 7, troubles: [].into(), counts: false, loads: 0 }
}

fn load(arrivals: Arrivals, prompts: Prompts, requests: usize, output_tokens: u32) -> Load {
    let workload = Workload { prompts, requests, output_tokens, beside: None, seed: 5 };
    Load { name: "a load".into(), arrivals, workload }
}

async fn connect(name: &str, address: std::net::SocketAddr, options: RequestOptions) -> Server {
    let target: Target = format!("{name}=http://{address}/v1").parse().unwrap();
    Server::connect(target, options).await.unwrap()
}

async fn session(servers: &[Server], loads: &[Load], rounds: usize) -> Report {
    let (_stopper, stop) = watch::channel(false);
    let settings = SessionSettings { rounds, warm_up: 1, objective: None };
    measure(servers, loads, settings, None, &stop, &|_| {}).await.unwrap()
}

/// The bodies that came after the warm-up and the two texts that are counted.
fn measured(seen: &Seen) -> &[serde_json::Value] {
    &seen.bodies[3..]
}

#[tokio::test]
async fn counts_are_exact_whatever_the_cuts() {
    for cut in [1, 2, 3, 64, 1 << 20] {
        let (address, seen) = start(Manner { cut, ..manner() }).await;
        let server = connect("fake", address, options()).await;
        assert_eq!((server.kind, server.model.as_str()), (Kind::Other, "fake-model"));
        let loads = [load(Arrivals::Streams(3), Prompts::Synthetic { tokens: 50 }, 7, 11)];
        let report = session(&[server], &loads, 2).await;
        let all = &report.loads[0].servers[0];
        assert_eq!((all.together.requests, all.together.answered, all.rounds.len()), (14, 14, 2));
        assert_eq!((all.together.output_tokens, all.together.prompt_tokens), (14 * 11, Some(14 * 50)));
        assert_eq!(all.together.cache_hit_rate, Some(2.0 / 50.0));
        assert_eq!((all.together.queue_seconds, all.together.cache_hit_rate_of_server), (None, None));
        let tokens: u32 =
            all.runs[0].records.iter().flat_map(|r| &r.arrivals).map(|arrival| arrival.tokens).sum();
        assert_eq!(tokens, 7 * 11);
        let seen = seen.lock().unwrap();
        assert!(seen.keys.iter().all(|key| key.as_deref() == Some("Bearer secret")));
        // No two prompts are equal, and a server that may not know it is not told to ignore the end.
        let mut prompts: Vec<_> = measured(&seen).iter().map(|body| body["prompt"].to_string()).collect();
        prompts.sort();
        prompts.dedup();
        assert_eq!(prompts.len(), 14);
        assert!(
            seen.bodies.iter().all(|body| body.get("ignore_eos").is_none() && body["stream"] == json!(true))
        );
    }
}

#[tokio::test]
async fn pieces_of_several_tokens_are_counted_as_such() {
    let manner = Manner { owner: "vllm", bursts: vec![1, 4, 2], cut: 1 << 20, counts: true, ..manner() };
    let (address, seen) = start(manner).await;
    let server = connect("fake", address, RequestOptions { endpoint: Endpoint::Chat, ..options() }).await;
    let loads = [load(Arrivals::AtOnce, Prompts::Listed(vec!["one two".into(), "three".into()]), 4, 12)];
    let report = session(&[server], &loads, 1).await;
    let all = &report.loads[0].servers[0];
    assert_eq!((all.together.output_tokens, all.together.prompt_tokens), (48, Some(2 * 4 + 2 * 3)));
    let tokens: u32 =
        all.runs[0].records.iter().flat_map(|r| &r.arrivals).map(|arrival| arrival.tokens).sum();
    assert_eq!(tokens, 48);
    // Its own figures: a quarter of a second each, and ten of forty tokens.
    assert_eq!(all.together.queue_seconds, Some(0.25));
    assert_eq!(all.together.cache_hit_rate_of_server, Some(0.25));
    let seen = seen.lock().unwrap();
    let body = seen.bodies.last().unwrap();
    assert_eq!(body["stream_options"], json!({ "include_usage": true, "continuous_usage_stats": true }));
    assert_eq!((&body["ignore_eos"], &body["messages"][0]["role"]), (&json!(true), &json!("user")));
}

#[tokio::test]
async fn every_turn_of_a_conversation_is_sent_after_those_before_it() {
    let conversation =
        |turns: &[&str]| Conversation { turns: turns.iter().map(|turn| turn.to_string()).collect() };
    let listed = vec![conversation(&["one", "two", "three"]), conversation(&["four"])];
    for endpoint in [Endpoint::Chat, Endpoint::Completions] {
        let (address, seen) = start(manner()).await;
        let server = connect("fake", address, RequestOptions { endpoint, ..options() }).await;
        let report =
            session(&[server], &[load(Arrivals::Streams(1), Prompts::Listed(listed.clone()), 2, 2)], 1).await;
        assert_eq!(report.loads[0].servers[0].together.answered, 4);
        let seen = seen.lock().unwrap();
        // One request came before, to warm it up.
        let measured = &seen.bodies[1..];
        let third = &measured[2];
        match endpoint {
            Endpoint::Chat => {
                let message = |role: &str, content: &str| json!({ "role": role, "content": content });
                let said = [
                    ("user", "one"),
                    ("assistant", "é é "),
                    ("user", "two"),
                    ("assistant", "é é "),
                    ("user", "three"),
                ];
                assert_eq!(
                    third["messages"],
                    said.map(|(role, content)| message(role, content)).into_iter().collect::<Value>()
                );
            }
            Endpoint::Completions => assert_eq!(third["prompt"], "oneé é \n\ntwoé é \n\nthree"),
        }
        assert_eq!(measured.len(), 4);
    }
}

#[tokio::test]
async fn errors_are_counted_by_kind_with_what_was_said() {
    use Trouble::{Busy, Cut, ErrorInStream, Garbage};
    let troubles = [Busy, Cut, Busy, ErrorInStream, Garbage];
    let (address, _) = start(manner()).await;
    // The warm-up has to succeed: only what follows is troubled.
    let quiet = connect("quiet", address, options()).await;
    let (address, _) = start(Manner { troubles: troubles.into(), cut: 1 << 20, ..manner() }).await;
    let server = connect("fake", address, options()).await;
    let (_stopper, stop) = watch::channel(false);
    let loads = [load(Arrivals::Streams(1), Prompts::Listed(vec!["hello".into()]), 8, 3)];
    let settings = SessionSettings { rounds: 1, warm_up: 0, objective: None };
    let report = measure(&[server, quiet], &loads, settings, None, &stop, &|_| {}).await.unwrap();
    let summary = &report.loads[0].servers[0].together;
    assert_eq!((summary.requests, summary.answered, summary.failed()), (8, 3, 5));
    let errors: Vec<(&str, usize)> =
        summary.errors.iter().map(|error| (error.kind.as_str(), error.count)).collect();
    let expected =
        [("status 503", 2), ("error in the stream", 1), ("broken stream", 1), ("malformed answer", 1)];
    assert_eq!(errors, expected);
    assert_eq!(summary.errors[0].example, "too many requests wait");
    assert_eq!(summary.errors[1].example, "the device failed");
    // Three answers of three tokens, and one token each of the three that broke off.
    assert_eq!(summary.output_tokens, 12);
}

#[tokio::test]
async fn servers_take_turns_with_the_same_texts() {
    let (first, seen_first) = start(manner()).await;
    let (second, seen_second) = start(Manner { owner: "llamacpp", ..manner() }).await;
    let servers = [connect("a", first, options()).await, connect("b", second, options()).await];
    let loads = [
        load(Arrivals::Streams(2), Prompts::Synthetic { tokens: 9 }, 4, 5),
        load(Arrivals::Streams(4), Prompts::SharedPrefix { groups: 2, prefix: 6, tokens: 5 }, 4, 5),
    ];
    let order = std::cell::RefCell::new(Vec::new());
    let (_stopper, stop) = watch::channel(false);
    let settings = SessionSettings { rounds: 2, warm_up: 1, objective: None };
    let watcher = |happening: Happening| {
        if let Happening::Begins { server, round, .. } = happening {
            order.borrow_mut().push(format!("{server}{round}"));
        }
    };
    let report = measure(&servers, &loads, settings, None, &stop, &watcher).await.unwrap();
    assert_eq!(order.into_inner(), ["a1", "b1", "b2", "a2", "a1", "b1", "b2", "a2"]);
    assert_eq!(report.loads.len(), 2);
    let rates: Vec<_> =
        report.loads[0].comparisons.iter().filter(|c| c.figure == "output tokens/s").collect();
    assert_eq!((rates.len(), rates[0].first.as_str(), rates[0].other.as_str()), (1, "a", "b"));
    let (lowest, highest) = (rates[0].lowest, rates[0].highest);
    assert!(lowest <= highest && rates[0].ratio > 0.0);
    let (first, second) = (seen_first.lock().unwrap(), seen_second.lock().unwrap());
    let texts =
        |bodies: &[serde_json::Value]| bodies.iter().map(|body| body["prompt"].clone()).collect::<Vec<_>>();
    // The first server also counted two texts.
    assert_eq!(texts(measured(&first)), texts(&second.bodies[1..]));
    let shared = report.loads[1].servers[1].together.shared_prefix.unwrap();
    assert_eq!((shared.first.count, shared.later.unwrap().count), (4, 4));
    let llama = second.bodies.last().unwrap();
    assert_eq!((&llama["timings_per_token"], &llama["ignore_eos"]), (&json!(true), &json!(true)));
}

#[tokio::test]
async fn fields_can_be_added_and_the_end_left_to_the_model() {
    let (address, seen) = start(Manner { owner: "wootz", ..manner() }).await;
    let extra = json!({ "top_k": 3, "seed": 9 }).as_object().unwrap().clone();
    let options = RequestOptions { length: Length::Free, extra, model: Some("other".into()), ..options() };
    let server = connect("fake", address, options).await;
    session(&[server], &[load(Arrivals::Poisson(1e6), Prompts::Listed(vec!["x".into()]), 2, 2)], 1).await;
    let seen = seen.lock().unwrap();
    let body = seen.bodies.last().unwrap();
    assert_eq!((&body["top_k"], &body["seed"], &body["model"]), (&json!(3), &json!(9), &json!("other")));
    assert_eq!(body.get("ignore_eos"), None);
}

#[tokio::test]
async fn a_server_that_is_not_there_or_fails_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let target: Target = format!("gone=http://{address}").parse().unwrap();
    let error = Server::connect(target, options()).await.unwrap_err();
    assert!(matches!(&error, LoadError::Unreachable { name, .. } if name == "gone"), "{error}");
    let (address, _) = start(Manner { troubles: [Trouble::Busy].into(), ..manner() }).await;
    let server = connect("busy", address, options()).await;
    let (_stopper, stop) = watch::channel(false);
    let loads = [load(Arrivals::AtOnce, Prompts::Synthetic { tokens: 5 }, 1, 1)];
    let settings = SessionSettings { rounds: 1, warm_up: 1, objective: None };
    let error = measure(&[server], &loads, settings, None, &stop, &|_| {}).await.unwrap_err().to_string();
    assert!(
        error.contains("busy (http://") && error.contains("status 503: too many requests wait"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_loads_is_waited_for() {
    let (address, _) = start(Manner { loads: 3, ..manner() }).await;
    assert_eq!(connect("fake", address, options()).await.model, "fake-model");
}

#[tokio::test]
async fn a_session_that_is_stopped_says_so() {
    let (address, _) = start(manner()).await;
    let server = connect("fake", address, options()).await;
    let (stopper, stop) = watch::channel(false);
    let loads = [load(Arrivals::Streams(1), Prompts::Listed(vec!["x".into()]), 50, 2)];
    let settings = SessionSettings { rounds: 3, warm_up: 0, objective: None };
    let ended = Cell::new(0);
    let watcher = |happening: Happening| {
        if let Happening::Goes(progress) = happening {
            ended.set(progress.ended);
            if progress.ended == 5 {
                stopper.send_replace(true);
            }
        }
    };
    let report = measure(&[server], &loads, settings, None, &stop, &watcher).await.unwrap();
    let all = &report.loads[0].servers[0];
    assert!(report.interrupted && all.rounds.len() == 1);
    assert_eq!((all.together.answered, all.together.requests, ended.get()), (5, 5, 5));
}
