//! Errors as OpenAI's API has them: `{"error": {message, type, param, code}}` with a status.

use axum::Json;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use wootz_engine::EngineError;
use wootz_weights::tokenizer::TokenizerError;

use crate::json::Refusal;

/// Seconds after which a client should ask again when the server is full or not ready.
const RETRY_SECONDS: u64 = 1;

/// Why a request gets no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// What was found, and what is possible.
    pub message: String,
    /// The class of the error, as clients know it.
    pub kind: &'static str,
    /// The parameter that is wrong, as a path into the body.
    pub param: Option<String>,
    /// A word for programs.
    pub code: Option<&'static str>,
    /// Seconds after which it may work.
    pub retry_after: Option<u64>,
}

/// The body of an error.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// What a body says of an error.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorDetail {
    /// What was found, and what is possible.
    pub message: String,
    /// The class of the error.
    #[serde(rename = "type")]
    pub kind: String,
    /// The parameter that is wrong.
    pub param: Option<String>,
    /// A word for programs.
    pub code: Option<String>,
}

impl ApiError {
    /// An error of a status, with nothing more to say.
    pub fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), kind, param: None, code: None, retry_after: None }
    }

    /// A parameter that is wrong: 400.
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        let error = Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message);
        Self { param: Some(param.into()), code: Some("invalid_value"), ..error }
    }

    /// A request that is wrong as a whole: 400.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    /// A parameter of the API that is not there in this server: 400.
    pub fn unsupported(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: Some("unsupported_parameter"), ..Self::invalid(param, message) }
    }

    /// Something broke that the request is not to blame for: 500.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message)
    }

    /// Not now: 503.
    pub fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", message);
        Self { code: Some(code), retry_after: Some(RETRY_SECONDS), ..error }
    }

    /// The same error with a word for programs.
    #[must_use]
    pub fn with_code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    /// The same error, said of a parameter unless it already names one.
    #[must_use]
    pub fn or_param(self, param: &str) -> Self {
        Self { param: self.param.or_else(|| Some(param.to_owned())), ..self }
    }

    /// The body.
    pub fn body(&self) -> ErrorBody {
        ErrorBody {
            error: ErrorDetail {
                message: self.message.clone(),
                kind: self.kind.to_owned(),
                param: self.param.clone(),
                code: self.code.map(str::to_owned),
            },
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        let message = error.to_string();
        match error {
            EngineError::Setting { setting, .. } => Self::invalid(setting.replace('-', "_"), message),
            EngineError::TokenOutsideVocabulary { .. } | EngineError::NoTokenLeft => Self::malformed(message),
            EngineError::EmptyPrompt => Self::invalid("prompt", message),
            EngineError::ContextFull { .. } => Self::malformed(message).with_code("context_length_exceeded"),
            EngineError::QueueFull { .. } => Self {
                retry_after: Some(RETRY_SECONDS),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message)
                    .with_code("queue_full")
            },
            EngineError::Stopping => Self::unavailable("draining", message),
            EngineError::Unsupported { .. } => Self::malformed(message).with_code("unsupported_parameter"),
            EngineError::Stopped => Self::unavailable("stopped", message),
            _ => Self::internal(message),
        }
    }
}

impl From<TokenizerError> for ApiError {
    fn from(error: TokenizerError) -> Self {
        Self::malformed(error.to_string())
    }
}

impl From<Refusal> for ApiError {
    fn from(Refusal { param, message }: Refusal) -> Self {
        Self { param, ..Self::malformed(message) }
    }
}
