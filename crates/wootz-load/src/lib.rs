//! Load for a server that speaks OpenAI's API, and what it measures.
//!
//! A [`plan::Plan`] says which requests there are and when each is due. [`drive::drive`] sends them through an
//! [`exchange::Exchange`] (over HTTP: [`http::Server`]) and keeps a [`record::Record`] of each. [`summary::Summary`]
//! is what the records say, and [`session`] runs several loads against several servers in turns,
//! and [`html`] draws it.
//!
//! Latency counts from the moment a request was due, not from when it was sent: a generator that falls behind would
//! otherwise leave out the waiting that a slow server causes.
#![forbid(unsafe_code)]

pub mod chunk;
pub mod drive;
pub mod error;
pub mod events;
pub mod exchange;
pub mod html;
pub mod http;
pub mod metrics;
pub mod plan;
mod plots;
pub mod prompts;
pub mod record;
pub mod report;
pub mod server;
pub mod session;
pub mod slo;
pub mod statistics;
pub mod summary;
mod svg;
pub mod trace;
pub mod words;

pub use error::LoadError;
