//! The HTTP server: the OpenAI API over the engine.
//!
//! A request's body is read in parts ([`json`]) and checked against the model ([`options`]); its prompt becomes tokens and
//! goes to the engine, whose tokens become text again ([`generation`]), sent whole or as events ([`sse`]).
#![forbid(unsafe_code)]

mod app;
mod auth;
mod blocking;
mod body;
pub mod chat;
pub mod completions;
mod engine_figures;
mod error;
pub mod generation;
mod health;
mod hosts;
mod http_metrics;
pub mod json;
mod metrics;
mod models;
mod openapi;
pub mod options;
mod served_model;
mod server;
mod settings;
mod signals;
mod sse;
pub mod structured;
mod token_text;
mod usage;

pub use app::{AppState, Closing, Phase, router};
pub use auth::ApiKeys;
pub use error::{ApiError, ErrorBody, ErrorDetail};
pub use health::Health;
pub use hosts::is_host_name;
pub use models::{ModelCard, ModelList};
pub use served_model::{ServedModel, now};
pub use server::{ServeError, Server, ServerHandle, serve};
pub use settings::{Hosts, Origins, ServeSettings};
pub use signals::obey;
pub use token_text::{Rival, TokenText};
pub use usage::{CompletionTokens, PromptTokens, UsageJson};
