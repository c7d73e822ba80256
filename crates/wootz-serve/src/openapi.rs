//! The document at `/openapi.json`, made from the types that are read and written.

use std::sync::Arc;

use axum::Json;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{IntoResponses, Modify, OpenApi};

use crate::error::{ErrorBody, ErrorDetail};
use crate::models;

/// What the document says besides its routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Wootz",
        description = "Language models on this machine, by the API that OpenAI's clients speak.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    components(schemas(ErrorBody, ErrorDetail)),
    security(("key" = []), ()),
    modifiers(&Security)
)]
struct Description;

/// The one route whose pattern a document can't say: a model's name may hold slashes.
#[derive(OpenApi)]
#[openapi(paths(models::one))]
struct ModelPath;

/// The key in a header.
struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut Document) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "One of the keys that the server was started with; without keys, none is needed.",
            ))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(scheme));
    }
}

/// The document without its routes.
pub fn description() -> Document {
    Description::openapi()
}

/// Adds the route that is not registered by its documented path.
pub fn add_model_path(document: &mut Document) {
    document.merge(ModelPath::openapi());
}

/// The errors of what needs a key.
#[derive(IntoResponses)]
#[allow(dead_code)]
pub enum KeyErrors {
    /// No key, or a wrong one.
    #[response(status = 401)]
    Unauthorized(ErrorBody),
    /// This program failed.
    #[response(status = 500)]
    Failed(ErrorBody),
}

/// The errors of what asks for one model.
#[derive(IntoResponses)]
#[allow(dead_code)]
pub enum ModelErrors {
    /// Something in the request can't be read.
    #[response(status = 400)]
    Invalid(ErrorBody),
    /// No such model.
    #[response(status = 404)]
    NoSuchModel(ErrorBody),
    /// The model is being loaded, or the server is closing.
    #[response(status = 503)]
    Unavailable(ErrorBody),
}

/// The errors of what generates.
#[derive(IntoResponses)]
#[allow(dead_code)]
pub enum GenerationErrors {
    /// Something in the request is wrong, or not possible here; `param` says what.
    #[response(status = 400)]
    Invalid(ErrorBody),
    /// No such model.
    #[response(status = 404)]
    NoSuchModel(ErrorBody),
    /// The body did not arrive in time.
    #[response(status = 408)]
    TooSlow(ErrorBody),
    /// The body is too long.
    #[response(status = 413)]
    TooLong(ErrorBody),
    /// The body is not called JSON.
    #[response(status = 415)]
    NotJson(ErrorBody),
    /// Too many requests wait already; `Retry-After` says when to try again.
    #[response(status = 429)]
    Full(ErrorBody),
    /// The model is being loaded, or the server is closing.
    #[response(status = 503)]
    Unavailable(ErrorBody),
}

/// Sends the document.
pub async fn show(document: Arc<Document>) -> Json<Document> {
    Json(Document::clone(&document))
}
