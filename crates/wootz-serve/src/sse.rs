//! Server-sent events: one JSON object a line, `[DONE]` at the end.

use std::convert::Infallible;

use axum::http::{HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};
use serde::Serialize;

use crate::error::ApiError;
use crate::settings::ServeSettings;

/// The last event, by which clients know that nothing was cut off.
const DONE: &str = "[DONE]";

/// A response of events as they come.
///
/// The first one is waited for, so that an error before it has its status; but no longer than a client should go without
/// a sign of life. A later error becomes the last event before `[DONE]`: the status is long gone out. Nothing is read from
/// `chunks` before the client has taken what came before, and a client that goes away drops them.
///
/// # Errors
/// An error that comes first.
pub async fn respond<T: Serialize + Send + 'static>(
    chunks: impl Stream<Item = Result<T, ApiError>> + Send + 'static,
    settings: &ServeSettings,
) -> Result<Response, ApiError> {
    let mut chunks = Box::pin(chunks);
    let first = match tokio::time::timeout(settings.keep_alive, chunks.next()).await {
        Ok(Some(first)) => Some(Ok(first?)),
        Ok(None) | Err(_) => None,
    };
    Ok(response(stream::iter(first).chain(chunks), settings))
}

fn response<T: Serialize + Send + 'static>(
    chunks: impl Stream<Item = Result<T, ApiError>> + Send + 'static,
    settings: &ServeSettings,
) -> Response {
    let events = until_error(chunks).map(|chunk| match chunk {
        Ok(chunk) => data(&chunk),
        Err(error) => data(&error.body()),
    });
    let events = events.chain(stream::once(async { Event::default().data(DONE) }));
    let keep_alive = KeepAlive::new().interval(settings.keep_alive).text("working");
    let sse = Sse::new(events.map(Ok::<Event, Infallible>)).keep_alive(keep_alive);
    let mut response = sse.into_response();
    // Proxies that collect responses would hold the events back.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// An event with an object.
fn data(value: &impl Serialize) -> Event {
    // Our own types have string keys only, so they always become JSON.
    Event::default()
        .json_data(value)
        .unwrap_or_else(|_| Event::default().comment("an event could not be written"))
}

/// Passes everything on up to the first error, and that.
fn until_error<T: Send + 'static>(
    chunks: impl Stream<Item = Result<T, ApiError>> + Send + 'static,
) -> impl Stream<Item = Result<T, ApiError>> + Send + 'static {
    let chunks = Box::pin(chunks);
    stream::unfold(Some(chunks), |chunks| async {
        let mut chunks = chunks?;
        let chunk = chunks.next().await?;
        let rest = chunk.is_ok().then_some(chunks);
        Some((chunk, rest))
    })
}
