//! API keys: who may ask, and as which tenant.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use wootz_engine::Tenant;

use crate::app::AppState;
use crate::error::ApiError;

/// The keys that open a server, as hashes: the keys themselves are not kept.
#[derive(Debug, Clone, Default)]
pub struct ApiKeys(Vec<blake3::Hash>);

impl ApiKeys {
    /// Takes keys in; empty ones are left out.
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a str>) -> Self {
        let keys = keys.into_iter().filter(|key| !key.is_empty());
        Self(keys.map(|key| blake3::hash(key.as_bytes())).collect())
    }

    /// Whether anybody may ask.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tenant that a key stands for. Takes the same time whichever key it is, and however much of it is right: hashes
    /// compare in constant time, and all are compared.
    pub fn tenant(&self, key: &str) -> Option<Tenant> {
        let hash = blake3::hash(key.as_bytes());
        let known = self.0.iter().fold(false, |known, own| known | (*own == hash));
        let number = hash.as_bytes().first_chunk().map_or(0, |first: &[u8; 8]| u64::from_le_bytes(*first));
        known.then_some(Tenant(number))
    }
}

/// Lets a request through if its key is right, and notes its tenant.
pub async fn authenticate(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    match tenant(&state.settings().keys, request.headers()) {
        Ok(tenant) => {
            request.extensions_mut().insert(tenant);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

fn tenant(keys: &ApiKeys, headers: &HeaderMap) -> Result<Tenant, ApiError> {
    if keys.is_empty() {
        return Ok(Tenant::default());
    }
    let refused = |message: &str| {
        let error = ApiError::new(StatusCode::UNAUTHORIZED, "invalid_request_error", message);
        error.with_code("invalid_api_key")
    };
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Err(refused("no API key was given: send it in the header `Authorization: Bearer KEY`"));
    };
    let key = value.to_str().ok().and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    let Some(key) = key else {
        return Err(refused("the header Authorization has to be of the form `Bearer KEY`"));
    };
    keys.tenant(key).ok_or_else(|| refused("the API key is none that this server knows"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_a_tenant_and_other_keys_are_none() {
        let keys = ApiKeys::new(["first", "second", ""]);
        assert_ne!(keys.tenant("first").unwrap(), keys.tenant("second").unwrap());
        assert_eq!(keys.tenant("first"), keys.tenant("first"));
        assert!(keys.tenant("firs").is_none() && keys.tenant("").is_none());
        assert!(ApiKeys::new([""]).is_empty());
    }

    #[test]
    fn the_header_has_one_form() {
        let keys = ApiKeys::new(["key"]);
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            tenant(&keys, &headers).is_ok()
        };
        assert!(with("Bearer key") && with("bearer  key"));
        assert!(!with("key") && !with("Basic key") && !with("Bearer kex"));
        assert!(tenant(&keys, &HeaderMap::new()).is_err());
    }
}
