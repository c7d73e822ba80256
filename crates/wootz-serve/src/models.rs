//! `GET /v1/models` and `GET /v1/models/{id}`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::ServedModel;
use crate::app::AppState;
use crate::error::ApiError;
use crate::openapi::{KeyErrors, ModelErrors};

/// The models of a server.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelList {
    /// Always `list`.
    pub object: &'static str,
    /// The models: one, once it is loaded.
    pub data: Vec<ModelCard>,
}

/// A model.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelCard {
    /// Its name in requests.
    pub id: String,
    /// Always `model`.
    pub object: &'static str,
    /// When it was loaded, in seconds since 1970.
    pub created: u64,
    /// Always `wootz`.
    pub owned_by: &'static str,
    /// Tokens of prompt and answer together.
    pub max_model_len: usize,
}

fn card(model: &ServedModel) -> ModelCard {
    ModelCard {
        id: model.name.clone(),
        object: "model",
        created: model.created,
        owned_by: "wootz",
        max_model_len: model.context,
    }
}

/// The models
#[utoipa::path(
    get,
    path = "/v1/models",
    tag = "models",
    operation_id = "listModels",
    description = "The model that is served, once it is loaded.",
    responses((status = 200, description = "The models.", body = ModelList), KeyErrors)
)]
pub async fn list(State(state): State<AppState>) -> Json<ModelList> {
    let data = state.loaded().iter().map(|model| card(model)).collect();
    Json(ModelList { object: "list", data })
}

/// One model
///
/// # Errors
/// 404 for any that is not here.
#[utoipa::path(
    get,
    path = "/v1/models/{id}",
    tag = "models",
    operation_id = "retrieveModel",
    description = "A model by its name, which may hold slashes.",
    params(("id" = String, Path, description = "The model's name.")),
    responses((status = 200, description = "The model.", body = ModelCard), KeyErrors, ModelErrors)
)]
pub async fn one(State(state): State<AppState>, Path(id): Path<String>) -> Result<Json<ModelCard>, ApiError> {
    let Some(model) = state.loaded() else { return state.model().map(|model| Json(card(&model))) };
    check_name(&model, Some(&id))?;
    Ok(Json(card(&model)))
}

/// Whether a request means this model: it says its name, or none.
///
/// # Errors
/// 404 for any other.
pub fn check_name(model: &ServedModel, named: Option<&str>) -> Result<(), ApiError> {
    match named {
        Some(named) if named != model.name => {
            let message = format!("there is no model {named:?} here; there is {:?}", model.name);
            let error = ApiError::new(StatusCode::NOT_FOUND, "invalid_request_error", message);
            Err(error.with_code("model_not_found").or_param("model"))
        }
        _ => Ok(()),
    }
}
