//! One piece of a streamed answer: a completion chunk or a chat completion chunk of OpenAI's API.

use serde::Deserialize;
use serde_json::Value;

use crate::record::Usage;

/// What a piece says.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// The stream is over.
    Done,
    /// Something went wrong.
    Error(String),
    /// A part of the answer.
    Part(AnswerPart),
}

/// A part of an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AnswerPart {
    /// Bytes of text, of reasoning and of tool calls in it.
    pub text_bytes: usize,
    /// Its text.
    pub text: String,
    /// Tokens of the answer so far, where the server says so in every piece.
    pub so_far: Option<u64>,
    /// Tokens of the whole request, as far as the piece says.
    pub usage: Usage,
    /// Whether the answer is complete.
    pub finished: bool,
}

#[derive(Deserialize)]
struct WireChunk {
    #[serde(default)]
    choices: Option<Vec<WireChoice>>,
    usage: Option<WireUsage>,
    timings: Option<WireTimings>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct WireChoice {
    text: Option<String>,
    delta: Option<WireDelta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct WireDelta {
    content: Option<String>,
    reasoning_content: Option<String>,
    reasoning: Option<String>,
    tool_calls: Option<Value>,
}

#[derive(Deserialize)]
struct WireUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<WireDetails>,
}

#[derive(Deserialize)]
struct WireDetails {
    cached_tokens: Option<u64>,
}

/// llama-server's own figures, which it adds to every piece if asked to.
#[derive(Deserialize)]
struct WireTimings {
    predicted_n: Option<u64>,
}

impl Piece {
    /// Reads the data of one event.
    pub fn read(data: &[u8]) -> Result<Self, serde_json::Error> {
        if data.trim_ascii() == b"[DONE]" {
            return Ok(Piece::Done);
        }
        let chunk: WireChunk = serde_json::from_slice(data)?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Ok(Piece::Error(error_text(&error)));
        }
        let choices = chunk.choices.unwrap_or_default();
        let usage = chunk.usage.as_ref();
        let details = usage.and_then(|usage| usage.prompt_tokens_details.as_ref());
        let output = usage.and_then(|usage| usage.completion_tokens);
        Ok(Piece::Part(AnswerPart {
            text_bytes: choices.iter().map(WireChoice::text_bytes).sum(),
            text: choices.iter().map(WireChoice::text).collect(),
            so_far: output.or(chunk.timings.and_then(|timings| timings.predicted_n)),
            usage: Usage {
                prompt: usage.and_then(|usage| usage.prompt_tokens),
                cached: details.and_then(|details| details.cached_tokens),
                output,
            },
            finished: choices.iter().any(|choice| choice.finish_reason.is_some()),
        }))
    }
}

impl WireChoice {
    fn text(&self) -> &str {
        let content = || self.delta.as_ref()?.content.as_deref();
        self.text.as_deref().or_else(content).unwrap_or_default()
    }

    fn text_bytes(&self) -> usize {
        let delta = self.delta.as_ref();
        let of_delta = delta.map_or(0, |delta| {
            let texts = [&delta.content, &delta.reasoning_content, &delta.reasoning];
            let calls = delta.tool_calls.as_ref().filter(|calls| !calls.is_null());
            texts.into_iter().flatten().map(String::len).sum::<usize>()
                + calls.map_or(0, |calls| calls.to_string().len())
        });
        self.text.as_ref().map_or(0, String::len) + of_delta
    }
}

/// The message of an error in OpenAI's shape, or what there is instead.
pub fn error_text(error: &Value) -> String {
    let inner = error.get("error").unwrap_or(error);
    let message = inner.get("message").and_then(Value::as_str).or_else(|| inner.as_str());
    shortened(&message.map_or_else(|| inner.to_string(), str::to_string))
}

/// A text's beginning, if it is long.
pub fn shortened(text: &str) -> String {
    const LONGEST: usize = 300;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part(text: &str) -> AnswerPart {
        match Piece::read(text.as_bytes()).unwrap() {
            Piece::Part(part) => part,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn pieces_of_both_endpoints_are_read() {
        let completion =
            part(r#"{"choices":[{"index":0,"text":" boat","finish_reason":null,"logprobs":null}]}"#);
        assert_eq!(completion, AnswerPart { text_bytes: 5, text: " boat".into(), ..Default::default() });
        let chat =
            part(r#"{"choices":[{"delta":{"role":"assistant","content":null},"finish_reason":null}]}"#);
        assert_eq!(chat, AnswerPart::default());
        let thought = part(
            r#"{"choices":[{"delta":{"reasoning_content":"ab","content":"c"}}],"timings":{"predicted_n":3}}"#,
        );
        assert_eq!((thought.text_bytes, thought.text.as_str(), thought.so_far), (3, "c", Some(3)));
        let end = part(r#"{"choices":[{"delta":{},"finish_reason":"length"}]}"#);
        assert!(end.finished && end.text_bytes == 0);
        let usage = part(
            r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":2}}}"#,
        );
        assert_eq!(usage.usage, Usage { prompt: Some(9), cached: Some(2), output: Some(4) });
    }

    #[test]
    fn ends_and_errors_are_told_apart() {
        assert_eq!(Piece::read(b" [DONE]").unwrap(), Piece::Done);
        let error = Piece::read(br#"{"error":{"message":"out of pages","type":"server_error"}}"#).unwrap();
        assert_eq!(error, Piece::Error("out of pages".into()));
        assert!(Piece::read(b"{").is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}", value in r#"[\[\]{}":,0-9a-z]{0,60}"#) {
            let _ = Piece::read(text.as_bytes());
            let _ = Piece::read(value.as_bytes());
            let _ = Piece::read(format!("{{\"choices\":[{{\"text\":{value}}}]}}").as_bytes());
        }
    }
}
