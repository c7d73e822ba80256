//! Reading a request's body: JSON, of a limited size, within a limited time.

use axum::body::{Bytes, HttpBody, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};

use crate::app::AppState;
use crate::error::ApiError;

/// The bytes of a body that says it is JSON.
#[derive(Debug)]
pub struct JsonBody(pub Bytes);

impl FromRequest<AppState> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let settings = state.settings();
        check_type(request.headers())?;
        let limit = settings.body_bytes;
        let body = request.into_body();
        if body.size_hint().lower() > limit as u64 {
            return Err(too_large(limit));
        }
        match tokio::time::timeout(settings.body_time, to_bytes(body, limit)).await {
            Ok(Ok(bytes)) => Ok(Self(bytes)),
            // What was read stays below the limit unless it is the limit that ended it.
            Ok(Err(error)) if is_limit(&error) => Err(too_large(limit)),
            Ok(Err(error)) => Err(ApiError::malformed(format!("the body could not be read: {error}"))),
            Err(_) => Err(ApiError::new(
                StatusCode::REQUEST_TIMEOUT,
                "invalid_request_error",
                format!("the body did not arrive within {} seconds", settings.body_time.as_secs_f32()),
            )),
        }
    }
}

/// JSON has to be called JSON. A page in a browser can't send this type to another origin without being allowed to.
fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let found = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = found.map(|value| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    let json = essence.as_deref().is_some_and(|essence| {
        essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
    });
    if json {
        return Ok(());
    }
    let found = found.map_or_else(|| "no content type".to_owned(), |found| format!("content type {found:?}"));
    Err(ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "invalid_request_error",
        format!("the request has {found}; it has to be application/json"),
    ))
}

fn too_large(limit: usize) -> ApiError {
    let message = format!("the body is longer than {limit} bytes, the most that this server reads");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", message)
}

/// Whether an error of reading a body says that it is too long.
fn is_limit(error: &axum::Error) -> bool {
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = source {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        source = error.source();
    }
    false
}
