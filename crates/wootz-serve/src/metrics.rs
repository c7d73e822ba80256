//! `GET /metrics`: what a Prometheus server reads.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::app::AppState;
use crate::engine_figures::EngineFigures;
use crate::error::ApiError;
use crate::openapi::KeyErrors;

/// The figures of this moment, as OpenMetrics text.
///
/// # Errors
/// None that was ever seen: writing to a string does not fail.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "server",
    operation_id = "metrics",
    description = "What a Prometheus server reads.",
    responses((status = 200, description = "OpenMetrics text.", body = String, content_type = "application/openmetrics-text"), KeyErrors)
)]
pub async fn show(State(state): State<AppState>) -> Result<Response, ApiError> {
    let mut registry = Registry::default();
    state.http().register(&mut registry);
    if let Some(model) = state.loaded() {
        registry.register_collector(Box::new(EngineFigures::new(model.engine.metrics())));
    }
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|_| ApiError::internal("the metrics could not be written"))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
