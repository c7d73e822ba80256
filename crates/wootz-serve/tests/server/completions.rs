//! What `/v1/completions` answers, all at once.

use serde_json::{Value, json};

use crate::support::{TestServer, text};

const PROMPT: &str = "Once upon a time";

fn greedy(tokens: u32) -> Value {
    json!({"prompt": PROMPT, "max_tokens": tokens, "temperature": 0})
}

/// `base` with more options.
fn with(mut base: Value, more: Value) -> Value {
    let more = more.as_object().unwrap().clone();
    base.as_object_mut().unwrap().extend(more);
    base
}

fn logprobs(answer: &Value, index: usize) -> Vec<f64> {
    let list = answer["choices"][index]["logprobs"]["token_logprobs"].as_array().unwrap();
    list.iter().map(|value| value.as_f64().unwrap_or(f64::NAN)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_has_openais_shape() {
    let server = TestServer::start().await;
    let answer = server.complete(with(greedy(8), json!({"model": "tales"}))).await;
    assert!(answer["id"].as_str().unwrap().starts_with("cmpl-"));
    assert_eq!(answer["object"], "text_completion");
    assert_eq!(answer["model"], "tales");
    assert!(answer["created"].as_u64().unwrap() > 1_700_000_000);
    let choice = &answer["choices"][0];
    assert_eq!((&choice["index"], &choice["finish_reason"]), (&json!(0), &json!("length")));
    assert_eq!(choice["logprobs"], Value::Null);
    let usage = &answer["usage"];
    assert_eq!(usage["completion_tokens"], 8);
    let sum = usage["prompt_tokens"].as_u64().unwrap() + 8;
    assert_eq!(usage["total_tokens"], sum);
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 0);
    // The same again, with the prompt's keys and values still there.
    let again =
        server.complete(with(greedy(8), json!({"prompt": [PROMPT.repeat(8), PROMPT.repeat(8)]}))).await;
    assert_eq!(text(&again, 0), text(&again, 1));
    let third = server.complete(with(greedy(8), json!({"prompt": PROMPT.repeat(8)}))).await;
    assert_eq!(text(&third, 0), text(&again, 0));
    assert!(third["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap() >= 16);
    let anew = json!({"prompt": PROMPT.repeat(8), "cache_prompt": false});
    let anew = server.complete(with(greedy(8), anew)).await;
    assert_eq!(text(&anew, 0), text(&third, 0));
    assert_eq!(anew["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_tokens_without_max_tokens_and_all_that_fit_without_a_limit() {
    let server = TestServer::start_with(|options| options.context = 64).await;
    let answer = server.complete(json!({"prompt": PROMPT, "ignore_eos": true})).await;
    assert_eq!(answer["usage"]["completion_tokens"], 16);
    for more in [json!({"n_predict": -1}), json!({"max_tokens": 100_000})] {
        let answer = server.complete(with(json!({"prompt": PROMPT, "ignore_eos": true}), more)).await;
        assert_eq!(answer["usage"]["total_tokens"], 64);
        assert_eq!(answer["choices"][0]["finish_reason"], "length");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_are_texts_token_ids_or_lists_of_them() {
    let server = TestServer::start().await;
    let alone = server.complete(greedy(10)).await;
    let echoed = server.complete(with(greedy(0), json!({"echo": true, "logprobs": 0}))).await;
    let names = with(greedy(0), json!({"echo": true, "logprobs": 0, "return_tokens_as_token_ids": true}));
    let named = server.complete(names).await;
    assert_eq!(text(&echoed, 0), PROMPT);
    let ids: Vec<u32> = named["choices"][0]["logprobs"]["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap().strip_prefix("token_id:").unwrap().parse().unwrap())
        .collect();
    let by_ids = server.complete(with(greedy(10), json!({"prompt": ids}))).await;
    assert_eq!(text(&by_ids, 0), text(&alone, 0));
    let batch = json!({"prompt": [PROMPT, ids, "The cat"]});
    let answers = server.complete(with(greedy(10), batch)).await;
    let indexes: Vec<u64> =
        answers["choices"].as_array().unwrap().iter().map(|c| c["index"].as_u64().unwrap()).collect();
    assert_eq!(indexes, [0, 1, 2]);
    assert_eq!((text(&answers, 0), text(&answers, 1)), (text(&alone, 0), text(&alone, 0)));
    let cat = server.complete(with(greedy(10), json!({"prompt": "The cat"}))).await;
    assert_eq!(text(&answers, 2), text(&cat, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn echoed_log_probabilities_are_those_of_generating() {
    let server = TestServer::start().await;
    let made = server.complete(with(greedy(12), json!({"logprobs": 2}))).await;
    let whole = format!("{PROMPT}{}", text(&made, 0));
    let scored = json!({"prompt": whole, "max_tokens": 0, "echo": true, "logprobs": 2});
    let scored = server.complete(scored).await;
    assert_eq!(text(&scored, 0), whole);
    assert_eq!(scored["usage"]["completion_tokens"], 0);
    let (made_values, all) = (logprobs(&made, 0), logprobs(&scored, 0));
    assert_eq!(all[all.len() - 12..], made_values[..], "{scored}");
    assert!(all[0].is_nan(), "nothing predicts the first token");
    let lists = &scored["choices"][0]["logprobs"];
    assert_eq!(lists["top_logprobs"][0], Value::Null);
    assert!(lists["top_logprobs"][3].as_object().unwrap().len() >= 2);
    let offsets: Vec<usize> =
        lists["text_offset"].as_array().unwrap().iter().map(|o| o.as_u64().unwrap() as usize).collect();
    let tokens = lists["tokens"].as_array().unwrap();
    for (token, offset) in tokens.iter().zip(&offsets).skip(2) {
        assert!(whole[*offset..].starts_with(token.as_str().unwrap()), "{token} at {offset}");
    }
    // An echo with an answer: the lists go on, offsets too.
    let both = server.complete(with(greedy(4), json!({"echo": true, "logprobs": 1}))).await;
    let lists = &both["choices"][0]["logprobs"];
    let offset = lists["text_offset"].as_array().unwrap().last().unwrap().as_u64().unwrap() as usize;
    let last = lists["tokens"].as_array().unwrap().last().unwrap().as_str().unwrap();
    assert_eq!(&text(&both, 0)[offset..], last);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_several_answers_has_its_own_seed() {
    let server = TestServer::start().await;
    let base = json!({"prompt": PROMPT, "max_tokens": 12, "temperature": 1, "seed": 41});
    let three = server.complete(with(base.clone(), json!({"n": 3}))).await;
    assert_eq!(three["choices"].as_array().unwrap().len(), 3);
    for index in 0..3 {
        let one = server.complete(with(base.clone(), json!({"seed": 41 + index}))).await;
        assert_eq!(text(&three, index), text(&one, 0));
    }
    let unseeded = json!({"prompt": PROMPT, "max_tokens": 24, "temperature": 1.5});
    let texts = [server.complete(unseeded.clone()).await, server.complete(unseeded).await];
    assert_ne!(text(&texts[0], 0), text(&texts[1], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_best_of_several_are_the_likeliest() {
    let server = TestServer::start().await;
    let base = json!({"prompt": PROMPT, "max_tokens": 8, "temperature": 1, "seed": 7, "logprobs": 0});
    let all = server.complete(with(base.clone(), json!({"n": 6}))).await;
    let mean = |index: usize| {
        let values = logprobs(&all, index);
        values.iter().sum::<f64>() / values.len() as f64
    };
    let mut order: Vec<usize> = (0..6).collect();
    order.sort_by(|&a, &b| mean(b).total_cmp(&mean(a)));
    let best = server.complete(with(base.clone(), json!({"n": 2, "best_of": 6}))).await;
    assert_eq!(best["choices"].as_array().unwrap().len(), 2);
    assert_eq!(text(&best, 0), text(&all, order[0]));
    assert_eq!(text(&best, 1), text(&all, order[1]));
    assert_eq!(best["usage"]["completion_tokens"], all["usage"]["completion_tokens"]);
    let plain = json!({"n": 1, "best_of": 6, "logprobs": null});
    let silent = server.complete(with(base, plain)).await;
    assert_eq!(text(&silent, 0), text(&best, 0));
    assert_eq!(silent["choices"][0]["logprobs"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_strings_end_an_answer_before_them() {
    let server = TestServer::start().await;
    let free = server.complete(greedy(40)).await;
    let whole = text(&free, 0).to_owned();
    // Inside a word, so that no token begins or ends there.
    let stop: String = whole.chars().skip(30).take(7).collect();
    let before = &whole[..whole.find(&stop).unwrap()];
    let stopped = server.complete(with(greedy(40), json!({"stop": stop, "logprobs": 0}))).await;
    assert_eq!(text(&stopped, 0), before);
    assert_eq!(stopped["choices"][0]["finish_reason"], "stop");
    let lists = &stopped["choices"][0]["logprobs"];
    let offsets = lists["text_offset"].as_array().unwrap();
    assert!(offsets.iter().all(|offset| offset.as_u64().unwrap() < before.len() as u64));
    let two = json!({"stop": ["never to be seen", stop], "include_stop_str_in_output": true});
    let kept = server.complete(with(greedy(40), two)).await;
    assert_eq!(text(&kept, 0), format!("{before}{stop}"));
    assert_eq!(kept["usage"]["completion_tokens"], stopped["usage"]["completion_tokens"]);
    assert!(stopped["usage"]["completion_tokens"].as_u64() < Some(40));
}

#[tokio::test(flavor = "multi_thread")]
async fn options_of_the_sampler_do_something() {
    let server = TestServer::start().await;
    let plain = server.complete(greedy(24)).await;
    let names = with(greedy(1), json!({"logprobs": 5, "return_tokens_as_token_ids": true}));
    let first = server.complete(names).await;
    let name = first["choices"][0]["logprobs"]["tokens"][0].as_str().unwrap().to_owned();
    let id = name.strip_prefix("token_id:").unwrap();
    let banned = server.complete(with(greedy(24), json!({"logit_bias": {id: -100}}))).await;
    assert_ne!(text(&plain, 0), text(&banned, 0));
    let ended: u32 = id.parse().unwrap();
    let ended = server.complete(with(greedy(24), json!({"stop_token_ids": [ended]}))).await;
    assert_eq!((text(&ended, 0), &ended["choices"][0]["finish_reason"]), ("", &json!("stop")));
    for more in [
        json!({"frequency_penalty": 20}),
        json!({"presence_penalty": 20}),
        json!({"repetition_penalty": 20}),
        json!({"repeat_penalty": 20}),
    ] {
        let changed = server.complete(with(greedy(24), more.clone())).await;
        assert_ne!(text(&plain, 0), text(&changed, 0), "{more}");
    }
    // Filters that leave one token make a drawn answer the greedy one.
    for more in [json!({"top_k": 1}), json!({"top_p": 0}), json!({"min_p": 1})] {
        let drawn = with(greedy(24), json!({"temperature": 1.5}));
        let changed = server.complete(with(drawn, more.clone())).await;
        assert_eq!(text(&plain, 0), text(&changed, 0), "{more}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beams_find_answers_at_least_as_likely_as_the_greedy_one() {
    let server = TestServer::start().await;
    let sum = |answer: &Value| logprobs(answer, 0).iter().sum::<f64>();
    let base = with(greedy(6), json!({"logprobs": 0, "ignore_eos": true}));
    let one = server.complete(base.clone()).await;
    let beams = server.complete(with(base.clone(), json!({"use_beam_search": true, "n": 4}))).await;
    assert_eq!(beams["choices"].as_array().unwrap().len(), 4);
    assert!(sum(&beams) >= sum(&one) - 1e-4, "{beams}");
    let best = server.complete(with(base, json!({"use_beam_search": true, "n": 1, "best_of": 4}))).await;
    assert_eq!(text(&best, 0), text(&beams, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grammar_holds_for_completions_too() {
    let server = TestServer::start().await;
    let choice = server.complete(with(greedy(20), json!({"guided_choice": ["purple", "green"]}))).await;
    assert!(["purple", "green"].contains(&text(&choice, 0)), "{choice}");
    assert_eq!(choice["choices"][0]["finish_reason"], "stop");
    let digits = server.complete(with(greedy(20), json!({"guided_regex": "[0-9]{3}", "n": 2}))).await;
    assert!((0..2).all(|index| text(&digits, index).parse::<u32>().is_ok_and(|number| number < 1000)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_is_listed_and_found_by_its_name() {
    let server = TestServer::start().await;
    let list = server.get("/v1/models").await.json();
    assert_eq!((&list["object"], &list["data"][0]["id"]), (&json!("list"), &json!("tales")));
    let one = server.get("/v1/models/tales").await;
    assert_eq!((one.status, &one.json()["max_model_len"]), (200, &json!(512)));
    assert_eq!(server.get("/v1/models/other/name").await.status, 404);
    assert_eq!(server.get("/health").await.json(), json!({"status": "ready"}));
}
