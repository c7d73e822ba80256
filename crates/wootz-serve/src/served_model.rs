//! A model in service.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use wootz_engine::Engine;
use wootz_weights::tokenizer::Tokenizer;

use crate::chat::ChatModel;

/// A model, and everything that requests to it need.
#[derive(Debug)]
pub struct ServedModel {
    /// Its name in requests.
    pub name: String,
    /// What computes.
    pub engine: Engine,
    /// From text to tokens and back.
    pub tokenizer: Arc<Tokenizer>,
    /// How conversations become prompts, and answers messages.
    pub chat: ChatModel,
    /// Tokens of prompt and answer together.
    pub context: usize,
    /// Token ids are below this.
    pub vocab: usize,
    /// Answers that are worked on together, and so the most that one request may ask for.
    pub sequences: usize,
    /// When it was loaded, in seconds since 1970.
    pub created: u64,
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
