//! `POST /v1/chat/completions`: the model's turn in a conversation.
//!
//! A body is read and checked ([`request`]); template, tools and the wanted form become a prompt and a grammar
//! ([`plan`]); what the model says is taken apart ([`answer`]) and sent [`whole`] or as a [`stream`].

mod answer;
mod content_tokens;
mod guide;
mod message;
mod model;
mod plan;
mod reasoning;
mod reply;
mod request;
mod stream;
mod tools;
mod whole;

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

pub use guide::{FormAfter, ReasoningBounds, chat_format, reasoning_guide};
pub use message::{Answered, CalledFunction, Content, Message, Part, Said, ToolCall, ToolResult};
pub use model::{ChatModel, ChatModelError};
pub use reasoning::{Effort, ReasoningOptions};
pub use reply::{AnswerMessage, ChatChunk, ChatCompletion, Choice};
pub use request::{ChatOptions, ChatRequest};
pub use tools::{FunctionDefinition, Tool, ToolChoiceJson};

/// The model's turn in a conversation
///
/// # Errors
/// What is wrong with the request, and what the engine refuses.
#[utoipa::path(
    post,
    path = "/v1/chat/completions",
    tag = "generation",
    operation_id = "createChatCompletion",
    description = "Answers whole, or with `stream` as server-sent events: one JSON chunk each, `[DONE]` at the end.",
    request_body = ChatRequest,
    responses(
        (status = 200, description = "The answers.", content(
            (ChatCompletion = "application/json"),
            (ChatChunk = "text/event-stream")
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
    let planning = Arc::clone(&model);
    let plan = blocking(move || plan::plan(&planning, &body.0)).await?;
    let delivery = plan.settings.delivery;
    let (head, started) = plan.start(&model, tenant)?;
    match delivery {
        Delivery::Whole => Ok(Json(whole::completion(head, started).await?).into_response()),
        Delivery::Stream(usage) => sse::respond(stream::chunks(head, started, usage), state.settings()).await,
    }
}
