//! The routes, and what handlers share.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::watch;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{Any, CorsLayer};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::ApiError;
use crate::http_metrics::{self, HttpMetrics};
use crate::settings::{Origins, ServeSettings};
use crate::{ServedModel, auth, chat, completions, health, hosts, metrics, models, openapi};

/// What handlers share.
#[derive(Debug, Clone)]
pub struct AppState(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: ServeSettings,
    model: OnceLock<Arc<ServedModel>>,
    closing: watch::Sender<Closing>,
    http: HttpMetrics,
}

/// Whether the server is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Closing {
    /// It is not.
    Open,
    /// What runs may end; nothing new begins.
    Draining,
    /// Everything ends.
    Stopped,
}

/// What a server is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The model is not there yet.
    Loading,
    /// Requests are answered.
    Ready,
    /// What runs may end; nothing new begins.
    Draining,
}

impl AppState {
    /// The state of a server whose model is still to come.
    pub fn new(settings: ServeSettings) -> Self {
        let (closing, _) = watch::channel(Closing::Open);
        Self(Arc::new(Shared { settings, model: OnceLock::new(), closing, http: HttpMetrics::default() }))
    }

    /// How the server was started.
    pub fn settings(&self) -> &ServeSettings {
        &self.0.settings
    }

    /// Counts of HTTP requests.
    pub fn http(&self) -> &HttpMetrics {
        &self.0.http
    }

    /// Takes the model into service. A second one is dropped.
    pub fn install(&self, model: ServedModel) {
        let _ = self.0.model.set(Arc::new(model));
        if *self.0.closing.borrow() != Closing::Open {
            self.drain_engine();
        }
    }

    /// The model, for work that begins now.
    ///
    /// # Errors
    /// 503 while it is loaded, and when the server is closing.
    pub fn model(&self) -> Result<Arc<ServedModel>, ApiError> {
        match (self.phase(), self.loaded()) {
            (Phase::Ready, Some(model)) => Ok(model),
            (Phase::Draining, _) => Err(ApiError::unavailable(
                "draining",
                "the server is shutting down: it ends the answers under way and begins no new ones",
            )),
            _ => Err(ApiError::unavailable("loading", "the model is still being loaded")),
        }
    }

    /// The model, once it is loaded, whatever the server is doing.
    pub fn loaded(&self) -> Option<Arc<ServedModel>> {
        self.0.model.get().cloned()
    }

    /// What the server is doing.
    pub fn phase(&self) -> Phase {
        if *self.0.closing.borrow() != Closing::Open {
            Phase::Draining
        } else if self.0.model.get().is_some() {
            Phase::Ready
        } else {
            Phase::Loading
        }
    }

    /// Brings the end nearer; it never goes back.
    pub fn close(&self, to: Closing) {
        self.0.closing.send_if_modified(|closing| {
            let nearer = to > *closing;
            *closing = (*closing).max(to);
            nearer
        });
        self.drain_engine();
    }

    /// To be told of the end.
    pub fn closing(&self) -> watch::Receiver<Closing> {
        self.0.closing.subscribe()
    }

    fn drain_engine(&self) {
        if let Some(model) = self.loaded() {
            model.engine.drain();
        }
    }
}

/// The whole application.
pub fn router(state: AppState) -> Router {
    let cors = cors(&state.settings().origins);
    let (api, api_document) = OpenApiRouter::with_openapi(openapi::description())
        .routes(routes!(chat::create))
        .routes(routes!(completions::create))
        .routes(routes!(models::list))
        .routes(routes!(metrics::show))
        .split_for_parts();
    let (open, mut document) =
        OpenApiRouter::with_openapi(api_document).routes(routes!(health::show)).split_for_parts();
    openapi::add_model_path(&mut document);
    let document = Arc::new(document);
    let api = api
        // The name may hold slashes, which the path of an OpenAPI document can't say.
        .route("/v1/models/{*id}", get(models::one))
        .layer(middleware::from_fn_with_state(state.clone(), auth::authenticate));
    let app = open
        .route("/openapi.json", get(move || openapi::show(Arc::clone(&document))))
        .merge(api)
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(state.clone(), hosts::guard))
        .layer(middleware::from_fn_with_state(state.clone(), http_metrics::observe));
    let app = match cors {
        Some(cors) => app.layer(cors),
        None => app,
    };
    app.with_state(state)
}

fn cors(origins: &Origins) -> Option<CorsLayer> {
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .expose_headers([header::RETRY_AFTER]);
    match origins {
        Origins::None => None,
        Origins::Any => Some(layer.allow_headers(Any).allow_origin(Any)),
        Origins::Listed(origins) => Some(layer.allow_origin(origins.clone())),
    }
}

async fn no_such_route(request: Request) -> ApiError {
    let message = format!(
        "there is no {} {}; there are POST /v1/chat/completions, POST /v1/completions, GET /v1/models, GET /health, \
         GET /metrics and GET /openapi.json",
        request.method(),
        request.uri().path()
    );
    ApiError::new(StatusCode::NOT_FOUND, "invalid_request_error", message).with_code("unknown_url")
}

async fn no_such_method(request: Request) -> ApiError {
    let message = format!("{} is not possible at {}", request.method(), request.uri().path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", message)
        .with_code("method_not_allowed")
}

/// A defect of this program: it costs one request. What it said goes to standard error by the panic hook.
fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let mut response =
        ApiError::internal("the server failed on this request; other requests are not affected")
            .into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
