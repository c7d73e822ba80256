//! What a server is told at its start.

use std::net::SocketAddr;
use std::time::Duration;

use axum::http::HeaderValue;

use crate::auth::ApiKeys;

/// How a server listens and what it lets through.
#[derive(Debug, Clone)]
pub struct ServeSettings {
    /// Where it listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// Who may ask; none: everybody who reaches the address.
    pub keys: ApiKeys,
    /// Which web pages may ask.
    pub origins: Origins,
    /// Which names in a request's `Host` stand for this server.
    pub hosts: Hosts,
    /// The longest body in bytes.
    pub body_bytes: usize,
    /// How long a body may take to arrive.
    pub body_time: Duration,
    /// How long a request's head may take to arrive, and how long a connection may be idle.
    pub head_time: Duration,
    /// How long a client may take nothing of what is sent to it. Then its connection is closed and its request cancelled.
    pub write_time: Duration,
    /// How long answers under way may go on once the server drains; `None`: to their end.
    pub drain_time: Option<Duration>,
    /// Connections at a time; more wait in the system's backlog.
    pub connections: usize,
    /// Prompts in one request.
    pub prompts: usize,
    /// After this long without an event a stream says that it lives.
    pub keep_alive: Duration,
}

/// Which web pages may ask: the origins that CORS lets through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// None: browsers keep answers from pages of other origins.
    None,
    /// These.
    Listed(Vec<HeaderValue>),
    /// Every page that a user of this server opens.
    Any,
}

/// Which names in a request's `Host` stand for the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// Where it listens at a loopback address: `localhost`, names below it, and loopback addresses. Elsewhere all names.
    Own,
    /// Wherever it listens: those, its own address, and these, in small letters and without ports.
    Listed(Vec<String>),
    /// All.
    Any,
}

impl Default for ServeSettings {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 8080)),
            keys: ApiKeys::default(),
            origins: Origins::None,
            hosts: Hosts::Own,
            body_bytes: 8 << 20,
            body_time: Duration::from_secs(30),
            head_time: Duration::from_secs(15),
            write_time: Duration::from_secs(30),
            drain_time: Some(Duration::from_secs(60)),
            connections: 1024,
            prompts: 256,
            keep_alive: Duration::from_secs(10),
        }
    }
}
