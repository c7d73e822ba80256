//! `POST /v1/completions`: texts that go on from a prompt, with no chat template.

mod fill;
mod job;
mod json;
mod plan;
mod stream;

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use wootz_engine::Tenant;

use crate::app::AppState;
use crate::blocking::blocking;
use crate::body::JsonBody;
use crate::error::ApiError;
use crate::openapi::{GenerationErrors, KeyErrors};
use crate::options::Delivery;
use crate::sse;

pub use json::{
    Completion, CompletionChoice, CompletionLogprobs, CompletionOptions, CompletionRequest, Prompt,
    PromptItem,
};

/// Texts that go on from prompts
///
/// # Errors
/// What is wrong with the request, and what the engine refuses.
#[utoipa::path(
    post,
    path = "/v1/completions",
    tag = "generation",
    operation_id = "createCompletion",
    description = "Answers whole, or with `stream` as server-sent events: one JSON object each, `[DONE]` at the end.",
    request_body = CompletionRequest,
    responses(
        (status = 200, description = "The answers.", content(
            (Completion = "application/json"),
            (Completion = "text/event-stream")
        )),
        KeyErrors,
        GenerationErrors
    )
)]
pub async fn create(
    State(state): State<AppState>,
    Extension(tenant): Extension<Tenant>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let model = state.model()?;
    let most = state.settings().prompts;
    let planning = Arc::clone(&model);
    let plan = blocking(move || plan::plan(&planning, &body.0, most)).await?;
    let head = json::Head::new(&model.name);
    let delivery = plan.settings.delivery;
    let (plan, jobs) = job::start(&model, plan, tenant)?;
    match delivery {
        Delivery::Whole => Ok(Json(job::whole(&plan, jobs, head).await?).into_response()),
        Delivery::Stream(usage) => {
            sse::respond(stream::chunks(plan, jobs, head, usage), state.settings()).await
        }
    }
}
