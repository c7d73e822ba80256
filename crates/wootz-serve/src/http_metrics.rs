//! Counts and times of HTTP requests, by route and status.

use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::app::AppState;

/// Which requests a count is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Labels {
    route: String,
    method: String,
    status: u16,
}

/// Which requests a time is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabels {
    route: String,
}

/// Counts and times of HTTP requests.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    requests: Family<Labels, Counter>,
    seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    open: Gauge,
}

impl Default for HttpMetrics {
    fn default() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(exponential_buckets(0.001, 2.0, 20));
        Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            open: Gauge::default(),
        }
    }
}

impl HttpMetrics {
    /// Enters them into a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("wootz_http_requests", "HTTP requests by route and status", self.requests.clone());
        registry.register(
            "wootz_http_request_seconds",
            "Time from a request's head to the end of its response",
            self.seconds.clone(),
        );
        registry.register("wootz_http_requests_open", "HTTP requests being answered", self.open.clone());
    }
}

/// Counts a request as open until it is dropped.
struct Open {
    metrics: HttpMetrics,
    route: String,
    begun: Instant,
}

impl Drop for Open {
    fn drop(&mut self) {
        let labels = RouteLabels { route: std::mem::take(&mut self.route) };
        self.metrics.seconds.get_or_create(&labels).observe(self.begun.elapsed().as_secs_f64());
        self.metrics.open.dec();
    }
}

/// Counts a request. A stream's time goes to its end, or to when its client went away.
pub async fn observe(State(state): State<AppState>, request: Request, next: Next) -> Response {
    // Paths that are no route are the client's words: they would be labels without end.
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let method = match request.method().as_str() {
        known @ ("GET" | "POST" | "OPTIONS" | "HEAD") => known.to_owned(),
        _ => "other".to_owned(),
    };
    let metrics = state.http().clone();
    metrics.open.inc();
    let open = Open { metrics: metrics.clone(), route: route.clone(), begun: Instant::now() };
    let response = next.run(request).await;
    let labels = Labels { route, method, status: response.status().as_u16() };
    metrics.requests.get_or_create(&labels).inc();
    let streams = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
    if !streams {
        return response;
    }
    response.map(|body| {
        Body::from_stream(body.into_data_stream().map(move |chunk| {
            let _ = &open;
            chunk
        }))
    })
}
