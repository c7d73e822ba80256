//! `GET /health`: whether the server answers.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::{AppState, Phase};

/// What a server says of itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `ready`, `loading` or `draining`.
    pub status: &'static str,
}

/// Whether the server answers
///
/// 200 when requests are answered, 503 while the model is loaded and while the server is closing.
#[utoipa::path(
    get,
    path = "/health",
    tag = "server",
    operation_id = "health",
    description = "Needs no key.",
    security(()),
    responses(
        (status = 200, description = "Requests are answered.", body = Health),
        (status = 503, description = "The model is being loaded, or the server is closing.", body = Health)
    )
)]
pub async fn show(State(state): State<AppState>) -> (StatusCode, Json<Health>) {
    let (code, status) = match state.phase() {
        Phase::Ready => (StatusCode::OK, "ready"),
        Phase::Loading => (StatusCode::SERVICE_UNAVAILABLE, "loading"),
        Phase::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
    };
    (code, Json(Health { status }))
}
