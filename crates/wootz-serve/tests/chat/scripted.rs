//! A server whose model says what a test wants it to say, one byte a token.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use wootz_backend::BackendError;
use wootz_backend::cache::CacheShape;
use wootz_backend::model::Model;
use wootz_backend::step::{PAGE_TOKENS, Step, StepLimits};
use wootz_engine::{Engine, EngineSettings};
use wootz_serve::chat::ChatModel;
use wootz_serve::{ServeSettings, ServedModel, Server, now};
use wootz_spec::{Head, ModelSpec, Norm};
use wootz_weights::chat_template::ChatTemplate;
use wootz_weights::tokenizer::{AddBos, Special, Tokenizer};

/// How a model's conversations are written.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    /// The chat template.
    pub template: &'static str,
    /// Tokens after the 256 bytes.
    pub special: &'static [&'static str],
    /// What the prompt ends with and no answer holds.
    pub turn: &'static str,
    /// The token that ends an answer.
    pub end: &'static str,
}

/// ChatML, with reasoning and Hermes's calls.
pub const CHATML: Dialect = Dialect {
    template: TEMPLATE,
    special: &["<|im_start|>", "<|im_end|>", "<|endoftext|>"],
    turn: "<|im_start|>assistant\n",
    end: "<|im_end|>",
};

/// Positions of the context.
const CONTEXT: usize = 4096;

/// A template with tools, and with reasoning that the prompt opens unless `enable_thinking` is false.
const TEMPLATE: &str = r#"{%- if tools %}<|im_start|>system
Tools: {{ tools | tojson }}
Write <tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}{% if message.tool_calls %}{% for tool_call in message.tool_calls %}
<tool_call>
{"name": "{{ tool_call.function.name }}", "arguments": {{ tool_call.function.arguments | tojson }}}
</tool_call>{% endfor %}{% endif %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is not defined or enable_thinking %}<think>
{% endif %}{% endif %}{# </think> ends it #}"#;

/// Says a text after the header of the assistant's turn, as far as a grammar lets it.
struct ScriptedModel {
    spec: ModelSpec,
    script: Vec<u32>,
    turn: Vec<u32>,
    end: u32,
    pool: Vec<u32>,
    logits: Vec<f32>,
}

impl ScriptedModel {
    const PAGES: usize = 2048;

    fn new(script: &str, dialect: Dialect, tokenizer: &Tokenizer) -> Self {
        let tokens = |text: &str| tokenizer.encode(text, Special::Parse, AddBos::Never).unwrap();
        let norm = Norm { eps: 1e-5, weight_offset: 0.0 };
        let spec = ModelSpec {
            architecture: "scripted".into(),
            dim: 1,
            vocab: 256 + dialect.special.len(),
            context: CONTEXT,
            embed_scale: 1.0,
            layers: Vec::new(),
            final_norm: norm,
            head: Head::Tied,
        };
        let pool = vec![0; Self::PAGES * PAGE_TOKENS];
        let end = tokenizer.token_id(dialect.end).unwrap();
        Self { spec, script: tokens(script), turn: tokens(dialect.turn), end, pool, logits: Vec::new() }
    }

    /// The script goes on; off the script, whatever closes brackets and strings soonest.
    fn push_logits(&mut self, seen: &[u32]) {
        let start = self.logits.len();
        self.logits.resize(start + self.spec.vocab, 0.0);
        let logits = &mut self.logits[start..];
        for (rank, byte) in b"}]\"".iter().enumerate() {
            logits[usize::from(*byte)] = 4.0 - rank as f32;
        }
        logits[self.end as usize] = 8.0;
        let turn = seen.windows(self.turn.len()).rposition(|tokens| tokens == self.turn);
        let said = turn.and_then(|at| seen.get(at + self.turn.len()..)).unwrap_or_default();
        if let Some(next) = self.script.strip_prefix(said).and_then(|rest| rest.first()) {
            logits[*next as usize] = 16.0;
        }
    }
}

impl Model for ScriptedModel {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn cache(&self) -> CacheShape {
        CacheShape { layers: 1, kv_heads: 1, head_dim: 2 }
    }

    fn limits(&self) -> StepLimits {
        StepLimits { vocab: self.spec.vocab, positions: CONTEXT, rows: 512, samples: 16, pages: Self::PAGES }
    }

    fn forward(&mut self, step: &Step) -> Result<&[f32], BackendError> {
        step.validate(&self.limits())?;
        for copy in &step.copies {
            let from = copy.from as usize * PAGE_TOKENS;
            self.pool.copy_within(from..from + PAGE_TOKENS, copy.to as usize * PAGE_TOKENS);
        }
        self.logits.clear();
        for sequence in &step.sequences {
            let pages = step.page_table[sequence.pages.clone()].to_vec();
            let place = |position: u32| {
                pages[position as usize / PAGE_TOKENS] as usize * PAGE_TOKENS
                    + position as usize % PAGE_TOKENS
            };
            for row in sequence.rows.clone() {
                self.pool[place(step.positions[row])] = step.tokens[row];
                if step.sample_rows.contains(&(row as u32)) {
                    let seen: Vec<u32> = (0..=step.positions[row]).map(|at| self.pool[place(at)]).collect();
                    self.push_logits(&seen);
                }
            }
        }
        Ok(&self.logits)
    }

    fn read_page(&mut self, page: u32, bytes: &mut [u8]) -> Result<(), BackendError> {
        self.cache().page_range(page, Self::PAGES, bytes.len())?;
        bytes.fill(0);
        let tokens = &self.pool[page as usize * PAGE_TOKENS..][..PAGE_TOKENS];
        for (to, token) in bytes.chunks_exact_mut(4).zip(tokens) {
            to.copy_from_slice(&token.to_le_bytes());
        }
        Ok(())
    }

    fn write_page(&mut self, page: u32, bytes: &[u8]) -> Result<(), BackendError> {
        self.cache().page_range(page, Self::PAGES, bytes.len())?;
        let tokens = &mut self.pool[page as usize * PAGE_TOKENS..][..PAGE_TOKENS];
        for (token, from) in tokens.iter_mut().zip(bytes.chunks_exact(4)) {
            *token = u32::from_le_bytes([from[0], from[1], from[2], from[3]]);
        }
        Ok(())
    }
}

/// The characters by which byte-level tokenizers write bytes.
fn byte_names() -> Vec<String> {
    let plain = |byte: u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let mut next = 0x100;
    let mut name = |byte: u32| {
        let code = if plain(byte) { byte } else { next };
        next += u32::from(!plain(byte));
        char::from_u32(code).unwrap().to_string()
    };
    (0..256).map(&mut name).collect()
}

/// A tokenizer of bytes and the special tokens.
fn tokenizer(folder: &Path, dialect: Dialect) -> Tokenizer {
    let vocab: serde_json::Map<String, Value> =
        byte_names().into_iter().enumerate().map(|(id, name)| (name, json!(id))).collect();
    let added: Vec<Value> = dialect
        .special
        .iter()
        .enumerate()
        .map(|(at, text)| {
            json!({"id": 256 + at, "content": text, "special": true, "single_word": false, "lstrip": false,
                   "rstrip": false, "normalized": false})
        })
        .collect();
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                  "vocab": vocab, "merges": []},
    });
    std::fs::write(folder.join("tokenizer.json"), file.to_string()).unwrap();
    let config = json!({"eos_token": dialect.end, "tokenizer_class": "Qwen2Tokenizer"});
    std::fs::write(folder.join("tokenizer_config.json"), config.to_string()).unwrap();
    Tokenizer::from_folder(folder).unwrap()
}

/// A server under way; the test's runtime ends it.
pub struct Running {
    url: String,
    client: reqwest::Client,
    _folder: tempfile::TempDir,
}

/// Starts a server whose model says `script` in every assistant's turn, after what the prompt says of it already.
pub async fn start(script: &str) -> Running {
    start_in(CHATML, script).await
}

/// The same in another dialect.
pub async fn start_in(dialect: Dialect, script: &str) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = tokenizer(folder.path(), dialect);
    let vocab = 256 + dialect.special.len();
    let settings = EngineSettings { sequences: 16, ..EngineSettings::default() };
    let engine = Engine::start(Box::new(ScriptedModel::new(script, dialect, &tokenizer)), settings).unwrap();
    let chat = ChatModel::new(ChatTemplate::new(dialect.template).unwrap(), &tokenizer, vocab).unwrap();
    let model = ServedModel {
        name: "scripted".into(),
        engine,
        tokenizer: Arc::new(tokenizer),
        chat,
        context: CONTEXT,
        vocab,
        sequences: 16,
        created: now(),
    };
    let settings = ServeSettings { address: ([127, 0, 0, 1], 0).into(), ..ServeSettings::default() };
    let server = Server::bind(settings).await.unwrap();
    let url = format!("http://{}", server.address());
    server.handle().install(model);
    tokio::spawn(server.run());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    Running { url, client, _folder: folder }
}

impl Running {
    /// Sends a chat of one user's message, with the given parameters on top; the status and the body.
    pub async fn send(&self, parameters: Value) -> (u16, String) {
        let mut body = json!({"messages": [{"role": "user", "content": "Hi"}], "temperature": 0});
        let object = body.as_object_mut().unwrap();
        object.extend(parameters.as_object().unwrap().clone());
        let url = format!("{}/v1/chat/completions", self.url);
        let request = self.client.post(url).header("content-type", "application/json").body(body.to_string());
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// The whole completion.
    pub async fn whole(&self, parameters: Value) -> Value {
        let (status, body) = self.send(parameters).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// The error of a request that is refused.
    pub async fn refused(&self, parameters: Value) -> Value {
        let (status, body) = self.send(parameters.clone()).await;
        assert_eq!(status, 400, "{parameters}: {body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        body["error"].clone()
    }

    /// The chunks of a stream, all but `[DONE]`.
    pub async fn chunks(&self, mut parameters: Value) -> Vec<Value> {
        parameters["stream"] = json!(true);
        let (status, body) = self.send(parameters).await;
        assert_eq!(status, 200, "{body}");
        let lines: Vec<&str> = body.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        let (done, chunks) = lines.split_last().unwrap();
        assert_eq!(*done, "[DONE]");
        chunks.iter().map(|chunk| serde_json::from_str(chunk).unwrap()).collect()
    }
}

/// The message that a stream's chunks make, put together as clients do it, and why it ended.
pub fn put_together(chunks: &[Value], index: u64) -> (Value, Value) {
    let mut message = json!({"role": null, "content": null, "refusal": null});
    let mut finish = Value::Null;
    let choices = chunks.iter().flat_map(|chunk| chunk["choices"].as_array().unwrap());
    for choice in choices.filter(|choice| choice["index"] == index) {
        assert!(finish.is_null(), "something comes after the end: {choice}");
        finish = choice["finish_reason"].clone();
        let delta = choice["delta"].as_object().unwrap();
        for (key, value) in delta.iter().filter(|(key, _)| *key != "tool_calls") {
            let old = message[key.as_str()].as_str().unwrap_or_default();
            message[key.as_str()] = json!(format!("{old}{}", value.as_str().unwrap()));
        }
        for call in delta.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
            if message["tool_calls"].is_null() {
                message["tool_calls"] = json!([]);
            }
            let calls = message["tool_calls"].as_array_mut().unwrap();
            let at = call["index"].as_u64().unwrap() as usize;
            if at == calls.len() {
                calls.push(json!({"id": call["id"], "type": call["type"], "function": call["function"]}));
            } else {
                assert!(call.get("id").is_none() && call["function"].get("name").is_none(), "{call}");
                let more = call["function"]["arguments"].as_str().unwrap();
                let arguments = &mut calls[at]["function"]["arguments"];
                *arguments = json!(format!("{}{more}", arguments.as_str().unwrap()));
            }
        }
    }
    if message["tool_calls"].is_array() && message["content"] == "" {
        message["content"] = Value::Null;
    }
    (message, finish)
}
