//! Answers as models write them, by format, and what they say.

mod common;

use common::{Answer, SOURCES, parse, parse_opened, source};
use wootz_chat::{ChatFormat, MarkerToken, ParserSettings, ReasoningOutput};

fn check(format: &str, text: &str, expected: Answer) {
    assert_eq!(parse(format, source(format), text), expected, "{format}: {text:?}");
}

#[test]
fn formats_are_told_apart() {
    for (name, source) in SOURCES {
        assert_eq!(ChatFormat::detect(source, |_| MarkerToken::Absent).name(), *name);
    }
}

#[test]
fn plain_text_stays_as_it_is() {
    for (name, _) in SOURCES {
        for text in
            ["Hello, world!\nWhat's up?", "  two  spaces \n\n", "a < b [1] {x} ｜ <| `c`", "", "\n", "<tool"]
        {
            check(name, text, Answer::content(text));
        }
    }
}

#[test]
fn calls_in_each_format() {
    let call = |text: &str| Answer::content(text).call("get_weather", r#"{"city": "Paris", "days": 3}"#);
    let json = r#"{"city": "Paris", "days": 3}"#;
    let both = format!(r#"{{"name": "get_weather", "arguments": {json}}}"#);
    for (format, text) in [
        ("hermes", format!("Hi\n<tool_call>\n{both}\n</tool_call>")),
        ("hermes", format!("Hi<tool_call>{both}")),
        ("hermes", format!(r#"Hi<tool_call>{{"arguments": {json}, "name": "get_weather"}}</tool_call>"#)),
        ("qwen-coder", "Hi\n<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>".to_owned()),
        ("qwen-coder", "Hi\n<function=get_weather>\n<parameter=city>Paris</parameter><parameter=days>3</parameter></function>".to_owned()),
        ("mistral-list", format!("Hi[TOOL_CALLS][{both}]")),
        ("mistral-id", format!("Hi[TOOL_CALLS]get_weather[CALL_ID]abcdefgh1[ARGS]{json}")),
        ("mistral", format!("Hi[TOOL_CALLS]get_weather[ARGS]{json}")),
        ("deepseek-r1", format!("Hi<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{json}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>")),
        ("deepseek-v3.1", format!("Hi<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{json}<｜tool▁call▁end｜><｜tool▁calls▁end｜>")),
        ("deepseek-v4", "Hi\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"get_weather\">\n<｜DSML｜parameter name=\"city\" string=\"true\">Paris</｜DSML｜parameter>\n<｜DSML｜parameter name=\"days\" string=\"false\">3</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>".to_owned()),
        ("kimi-k2", format!("Hi<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{json}<|tool_call_end|><|tool_calls_section_end|>")),
        ("kimi-k3", "<|open|>response<|sep|>Hi<|close|>response<|sep|><|open|>tools<|sep|><|open|>call tool=\"get_weather\" index=\"1\"<|sep|><|open|>argument key=\"city\" type=\"string\"<|sep|>Paris<|close|>argument<|sep|><|open|>argument key=\"days\" type=\"number\"<|sep|>3<|close|>argument<|sep|><|close|>call<|sep|><|close|>tools<|sep|><|close|>message<|sep|>".to_owned()),
        ("glm", "Hi<tool_call>get_weather<arg_key>city</arg_key><arg_value>Paris</arg_value><arg_key>days</arg_key><arg_value>3</arg_value></tool_call>".to_owned()),
        ("glm-lines", "Hi\n<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>\n".to_owned()),
        ("minimax-m2", "Hi\n<minimax:tool_call>\n<invoke name=\"get_weather\">\n<parameter name=\"city\">Paris</parameter>\n<parameter name=\"days\">3</parameter>\n</invoke>\n</minimax:tool_call>".to_owned()),
        ("gemma", "Hi<|tool_call>call:get_weather{city:<|\"|>Paris<|\"|>,days:3}<tool_call|>".to_owned()),
        ("lfm", "Hi<|tool_call_start|>[get_weather(city='Paris', days=3)]<|tool_call_end|>".to_owned()),
        ("lfm", "Hi<|tool_call_start|>[get_weather(city=\"Paris\", days=3)]<|tool_call_end|>".to_owned()),
        ("cohere", format!("<|START_RESPONSE|>Hi<|END_RESPONSE|><|START_ACTION|>[\n    {{\"tool_call_id\": \"0\", \"tool_name\": \"get_weather\", \"parameters\": {json}}}\n]<|END_ACTION|>")),
        ("apertus", format!("Hi<|tools_prefix|>[{{\"get_weather\": {json}}}]<|tools_suffix|>")),
        ("nemotron", format!("Hi\n<TOOLCALL>[{both}]</TOOLCALL>")),
        ("apriel", format!("Hi\n<tool_calls>[{both}]</tool_calls>\n")),
        ("firefunction", format!("Hi functools[{both}]")),
        ("granite", format!("Hi<|tool_call|>[{both}]")),
        ("gigachat", format!("Hi<|function_call|>{both}")),
        ("functionary", format!("Hi<function=get_weather>{json}</function>")),
        ("solar", format!("<|content|>Hi<|end|><|begin|>assistant<|tool_calls|><|tool_call:begin|>a1b2c3d4e5<|tool_call:name|>get_weather<|tool_call:args|>{json}<|tool_call:end|><|calls|>")),
        ("harmony", format!("<|channel|>commentary<|message|>Hi<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{json}<|call|>")),
        ("harmony", format!("<|channel|>final<|message|>Hi<|end|><|start|>assistant to=functions.get_weather<|channel|>commentary json<|message|>{json}")),
    ] {
        check(format, &text, call("Hi"));
    }
    let llama = format!(r#"{{"name": "get_weather", "parameters": {json}}}"#);
    check("llama", &llama, call(""));
    check("llama", &format!("<|python_tag|>{llama}"), call(""));
    check("llama", "<|python_tag|>get_weather.call(city=\"Paris\", days=3)", call(""));
}

#[test]
fn several_calls() {
    let two = Answer::default().call("get_weather", r#"{"city": "a"}"#).call("search", r#"{"query": "b"}"#);
    for (format, text) in [
        (
            "hermes",
            "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"a\"}}\n</tool_call>\n<tool_call>\n{\"name\": \"search\", \"arguments\": {\"query\": \"b\"}}\n</tool_call>",
        ),
        (
            "hermes",
            "<tool_call>[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"a\"}}, {\"name\": \"search\", \"arguments\": {\"query\": \"b\"}}]</tool_call>",
        ),
        (
            "mistral",
            "[TOOL_CALLS]get_weather[ARGS]{\"city\": \"a\"}[TOOL_CALLS]search[ARGS]{\"query\": \"b\"}",
        ),
        (
            "mistral-list",
            "[TOOL_CALLS][{\"name\": \"get_weather\", \"arguments\": {\"city\": \"a\"}, \"id\": \"abcdefgh1\"}, {\"name\": \"search\", \"arguments\": {\"query\": \"b\"}}]",
        ),
        ("lfm", "<|tool_call_start|>[get_weather(city='a'), search(query='b')]<|tool_call_end|>"),
        (
            "glm",
            "<tool_call>get_weather<arg_key>city</arg_key><arg_value>a</arg_value></tool_call><tool_call>search<arg_key>query</arg_key><arg_value>b</arg_value></tool_call>",
        ),
        (
            "llama",
            "{\"name\": \"get_weather\", \"parameters\": {\"city\": \"a\"}}; {\"name\": \"search\", \"parameters\": {\"query\": \"b\"}}",
        ),
        (
            "qwen-coder",
            "<tool_call><function=get_weather><parameter=city>a</parameter></function></tool_call><tool_call><function=search><parameter=query>b</parameter></tool_call>",
        ),
    ] {
        check(format, text, two.clone());
    }
}

#[test]
fn calls_without_arguments() {
    for (format, text) in [
        ("hermes", "<tool_call>{\"name\": \"now\"}</tool_call>"),
        ("hermes", "<tool_call>{\"name\": \"now\", \"arguments\": null}</tool_call>"),
        ("qwen-coder", "<tool_call>\n<function=now>\n</function>\n</tool_call>"),
        ("glm", "<tool_call>now</tool_call>"),
        ("glm-lines", "<tool_call>now\n</tool_call>"),
        ("lfm", "<|tool_call_start|>[now()]<|tool_call_end|>"),
        ("gemma", "<|tool_call>call:now{}<tool_call|>"),
        ("minimax-m2", "<minimax:tool_call>\n<invoke name=\"now\">\n</invoke>\n</minimax:tool_call>"),
        ("mistral", "[TOOL_CALLS]now[ARGS]{}"),
        ("harmony", "<|channel|>commentary to=functions.now<|message|><|call|>"),
    ] {
        check(format, text, Answer::default().call("now", "{}"));
    }
}

#[test]
fn reasoning_is_split_out() {
    let expected = Answer::content("Yes.").reasoning("Let me\n see");
    for (format, opened, text) in [
        ("deepseek-r1", true, "Let me\n see\n</think>\n\nYes."),
        ("deepseek-r1", false, "<think>\nLet me\n see\n</think>\n\nYes."),
        ("mistral", false, "[THINK]Let me\n see[/THINK]Yes."),
        (
            "kimi-k3",
            true,
            "Let me\n see<|close|>think<|sep|><|open|>response<|sep|>Yes.<|close|>response<|sep|>",
        ),
        ("cohere", true, "Let me\n see<|END_THINKING|><|START_RESPONSE|>Yes.<|END_RESPONSE|>"),
        ("gemma", false, "<|channel>thought\nLet me\n see<channel|>Yes."),
        ("solar", false, "<|think|>Let me\n see<|end|><|begin|>assistant<|content|>Yes.<|end|>"),
        ("apriel", true, "Let me\n see\n[BEGIN FINAL RESPONSE]\nYes.\n[END FINAL RESPONSE]"),
        ("granite", false, "<think>Let me\n see</think><response>Yes.</response>"),
        (
            "harmony",
            false,
            "<|channel|>analysis<|message|>Let me\n see<|end|><|start|>assistant<|channel|>final<|message|>Yes.",
        ),
        ("harmony", true, "Let me\n see<|end|><|start|>assistant<|channel|>final<|message|>Yes."),
    ] {
        assert_eq!(parse_opened(format, source(format), text, opened), expected, "{format}: {text:?}");
    }
    check("glm", "</think>Yes.", Answer::content("Yes."));
    check("glm", "Say </think> or <think>.", Answer::content("Say </think> or <think>."));
    let calling = Answer::default().reasoning("Look").call("now", "{}");
    assert_eq!(parse_opened("mistral", source("mistral"), "Look[TOOL_CALLS]now[ARGS]{}", true), calling);
}

#[test]
fn what_is_no_call_is_content() {
    for (format, text) in [
        ("hermes", "<tool_call>no JSON"),
        ("hermes", "<tool_call>{\"name\": 3}</tool_call> x"),
        ("hermes", "<tool_call></tool_call>"),
        ("hermes", "<tool_call>{\"nam"),
        ("llama", "{\"answer\": 42}"),
        ("llama", "{\"name\": \"Ada\", \"parameters\": {}}"),
        ("qwen-coder", "<tool_call>\n<function=\n>"),
        ("mistral", "[TOOL_CALLS][{\"x\"}]"),
        ("glm", "Write <tool_call> here"),
        ("lfm", "<|tool_call_start|>(1)<|tool_call_end|>"),
        ("gemma", "<|tool_call>what"),
    ] {
        check(format, text, Answer::content(text));
    }
}

#[test]
fn arguments_become_json_by_their_schema() {
    let expected = |arguments: &str| Answer::default().call("get_weather", arguments);
    let coder = |key: &str, value: &str| {
        format!(
            "<tool_call>\n<function=get_weather>\n<parameter={key}>\n{value}\n</parameter>\n</function>\n</tool_call>"
        )
    };
    for (key, value, json) in [
        ("city", "12", r#"{"city": "12"}"#),
        ("city", "two\nlines\n", r#"{"city": "two\nlines\n"}"#),
        ("city", "\n \"q\" \\ </param", r#"{"city": "\n \"q\" \\ </param"}"#),
        ("days", "12", r#"{"days": 12}"#),
        ("days", "many", r#"{"days": "many"}"#),
        ("maybe", "12", r#"{"maybe": "12"}"#),
        ("maybe", "null", r#"{"maybe": null}"#),
        ("flag", "True", r#"{"flag": true}"#),
        ("deep", "{\"a\": [1]}", r#"{"deep": {"a": [1]}}"#),
        ("unknown", "x y", r#"{"unknown": "x y"}"#),
        ("unknown", "[1]", r#"{"unknown": [1]}"#),
    ] {
        check("qwen-coder", &coder(key, value), expected(json));
    }
    let python = "<|tool_call_start|>[get_weather(city='it\\'s', days=-1.5, flag=True, maybe=None, deep={'a': [1, (2, 3)], \"b\": 'x'})]<|tool_call_end|>";
    check(
        "lfm",
        python,
        expected(
            r#"{"city": "it's", "days": -1.5, "flag": true, "maybe": null, "deep": {"a": [1, [2, 3]], "b": "x"}}"#,
        ),
    );
    check(
        "lfm",
        "<|tool_call_start|>[get_weather(city='it's')]<|tool_call_end|>",
        expected(r#"{"city": "it's"}"#),
    );
    let gemma = "<|tool_call>call:get_weather{city:<|\"|>a \"b\" <c<|\"|>,deep:{a:[1,<|\"|>x<|\"|>],b:{}},flag:false}<tool_call|>";
    check(
        "gemma",
        gemma,
        expected(r#"{"city": "a \"b\" <c", "deep": {"a": [1, "x"], "b": {}}, "flag": false}"#),
    );
    check(
        "hermes",
        r#"<tool_call>{"name": "get_weather", "arguments": "{\"city\": \"a\\nb\"}"}</tool_call>"#,
        expected(r#"{"city": "a\nb"}"#),
    );
}

#[test]
fn reasoning_may_stay_in_the_content() {
    let format = ChatFormat::detect(source("glm"), |_| MarkerToken::Absent);
    let settings = ParserSettings { reasoning: ReasoningOutput::InContent, ..ParserSettings::default() };
    let mut parser = format.parser(settings);
    let mut answer = Answer::default();
    let text = "<think>\nHm.\n</think>\n\nYes. <tool_call>now</tool_call>";
    answer.add(parser.push(text));
    answer.add(parser.finish());
    assert_eq!(answer, Answer::content(text));
}

#[test]
fn prompts_open_reasoning() {
    for (format, prompt, opened) in [
        ("deepseek-r1", "<｜Assistant｜><think>\n", true),
        ("deepseek-r1", "What is <think>?<｜Assistant｜>", false),
        ("deepseek-v3.1", "<｜Assistant｜><think></think>", false),
        ("kimi-k3", "<|open|>think<|sep|>", true),
        ("harmony", "<|start|>assistant", false),
        ("hermes", "<think>", false),
    ] {
        let format = ChatFormat::detect(source(format), |_| MarkerToken::Absent);
        assert_eq!(format.opened_by(prompt), opened, "{prompt}");
    }
    let known = ChatFormat::detect(source("hermes"), |_| MarkerToken::Text);
    assert_eq!(known.reasoning().map(|markers| markers.end), Some("</think>".to_owned()));
}

#[test]
fn ids_are_the_models_or_new() {
    let ids = |format: &str, text: &str| common::parse(format, source(format), text).ids.0;
    assert_eq!(ids("mistral-id", "[TOOL_CALLS]now[CALL_ID]abcdefgh1[ARGS]{}"), ["abcdefgh1"]);
    assert_eq!(
        ids("kimi-k2", "<|tool_call_begin|>functions.now:3<|tool_call_argument_begin|>{}"),
        ["functions.now:3"]
    );
    assert_eq!(ids("mistral-list", "[TOOL_CALLS][{\"name\": \"now\"}]")[0].len(), 9);
    assert!(ids("hermes", "<tool_call>{\"name\": \"now\"}")[0].starts_with("call_"));
}
