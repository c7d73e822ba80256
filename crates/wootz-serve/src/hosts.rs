//! Which names this server answers to, and which web pages may ask it.
//!
//! A page in a browser may reach a server on the same machine: by its address, or by a name of the page's own site that
//! suddenly stands for that address (DNS rebinding), so that the browser takes the server for the page's own. Keys are no
//! help where none are asked for. Browsers say in `Host` which name they looked up, and in `Origin` whose page asks.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::app::AppState;
use crate::error::ApiError;
use crate::settings::{Hosts, Origins, ServeSettings};

/// Lets a request through if it names this server and comes from no page that may not ask.
pub async fn guard(State(state): State<AppState>, request: Request, next: Next) -> Response {
    match check(state.settings(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

fn check(settings: &ServeSettings, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
    let in_uri = uri.authority().map(|authority| authority.as_str().as_bytes());
    let in_headers = headers.get_all(header::HOST).iter().map(|host| host.as_bytes());
    // Programs without `Host` (HTTP/1.0) are no browsers.
    for host in in_uri.into_iter().chain(in_headers) {
        if !is_own(settings, host) {
            return Err(wrong_host(host));
        }
    }
    for origin in headers.get_all(header::ORIGIN) {
        let listed = match &settings.origins {
            Origins::Any => true,
            Origins::Listed(origins) => origins.contains(origin),
            Origins::None => false,
        };
        if !listed && !is_same(origin.as_bytes(), headers) {
            return Err(wrong_origin(origin.as_bytes()));
        }
    }
    Ok(())
}

/// Whether a `Host`, with or without a port, names this server.
fn is_own(settings: &ServeSettings, host: &[u8]) -> bool {
    let listed = match &settings.hosts {
        Hosts::Any => return true,
        Hosts::Own if !settings.address.ip().is_loopback() => return true,
        Hosts::Own => &[][..],
        Hosts::Listed(names) => names.as_slice(),
    };
    let Some(authority) = std::str::from_utf8(host).ok().and_then(|host| host.parse::<Authority>().ok())
    else {
        return false;
    };
    if authority.as_str().contains('@') {
        return false;
    }
    let name = authority.host();
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    if let Ok(address) = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>()
        && (address.to_canonical().is_loopback() || address == settings.address.ip())
    {
        return true;
    }
    name == "localhost" || name.ends_with(".localhost") || listed.contains(&name)
}

/// Whether a text is a host as it stands in `Host`, without a port.
pub fn is_host_name(text: &str) -> bool {
    text.parse::<Authority>().is_ok_and(|authority| authority.host() == text)
}

/// Whether a page's origin is the server itself, by the name that the request gives it.
fn is_same(origin: &[u8], headers: &HeaderMap) -> bool {
    let origin = std::str::from_utf8(origin).unwrap_or_default();
    let Some((_, place)) = origin.split_once("://") else { return false };
    let mut hosts = headers.get_all(header::HOST).iter();
    hosts.any(|host| host.as_bytes().eq_ignore_ascii_case(place.as_bytes()))
}

fn wrong_host(host: &[u8]) -> ApiError {
    let shown = shown(host);
    let message = format!(
        "the request is for the host {shown:?}, which is no name of this server: it answers to localhost, to the address \
         that it listens at, and to names that it is started with (--allowed-host NAME)"
    );
    refused("host_not_allowed", message)
}

fn wrong_origin(origin: &[u8]) -> ApiError {
    let shown = shown(origin);
    let message = format!(
        "web pages of the origin {shown:?} may not ask this server: those may that it is started with (--cors ORIGIN)"
    );
    refused("origin_not_allowed", message)
}

fn refused(code: &'static str, message: String) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "invalid_request_error", message).with_code(code)
}

/// The beginning of what a client sent.
fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(address: &str, hosts: Hosts, origins: Origins) -> ServeSettings {
        let address = std::net::SocketAddr::new(address.parse().unwrap(), 8080);
        ServeSettings { address, hosts, origins, ..ServeSettings::default() }
    }

    fn answers(settings: &ServeSettings, host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        check(settings, &Uri::from_static("/health"), &headers).is_ok()
    }

    #[test]
    fn on_a_loopback_address_only_its_own_names_are_answered() {
        let own = settings("127.0.0.1", Hosts::Own, Origins::None);
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.:80",
            "a.localhost",
            "127.0.0.1:8080",
            "127.3.2.1",
            "[::1]:8080",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(answers(&own, host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "notlocalhost",
            "127.0.0.1.evil.example",
            "192.168.0.5:8080",
            "[2001:db8::1]",
            "0.0.0.0",
            "user@localhost",
            "",
            "a b",
            "localhost/x",
            "é",
        ] {
            assert!(!answers(&own, host), "{host}");
        }
    }

    #[test]
    fn listed_names_are_answered_too_and_elsewhere_all_are() {
        let listed = Hosts::Listed(vec!["box.lan".into()]);
        let local = settings("127.0.0.1", listed.clone(), Origins::None);
        assert!(answers(&local, "Box.lan:8080") && answers(&local, "localhost") && !answers(&local, "lan"));
        let public = settings("192.168.0.5", listed, Origins::None);
        assert!(answers(&public, "192.168.0.5:8080") && answers(&public, "box.lan"));
        assert!(!answers(&public, "evil.example"));
        assert!(answers(&settings("192.168.0.5", Hosts::Own, Origins::None), "whatever.example"));
        assert!(answers(&settings("127.0.0.1", Hosts::Any, Origins::None), "whatever.example"));
    }

    #[test]
    fn every_host_of_a_request_counts() {
        let own = settings("127.0.0.1", Hosts::Own, Origins::None);
        let mut headers = HeaderMap::new();
        assert!(check(&own, &Uri::from_static("/health"), &headers).is_ok());
        headers.append(header::HOST, "localhost".parse().unwrap());
        assert!(check(&own, &Uri::from_static("http://evil.example/health"), &headers).is_err());
        headers.append(header::HOST, "evil.example".parse().unwrap());
        let error = check(&own, &Uri::from_static("/health"), &headers).unwrap_err();
        assert!(
            error.message.contains("evil.example") && error.message.contains("--allowed-host"),
            "{error}"
        );
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let asks = |origins: Origins, host: &str, origin: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            check(&settings("127.0.0.1", Hosts::Own, origins), &Uri::from_static("/"), &headers)
        };
        let listed = || Origins::Listed(vec!["https://example.org".parse().unwrap()]);
        assert!(asks(Origins::None, "localhost:8080", "http://localhost:8080").is_ok());
        assert!(asks(listed(), "localhost", "https://example.org").is_ok());
        assert!(asks(Origins::Any, "localhost", "https://example.com").is_ok());
        for origin in ["https://example.com", "http://localhost:3000", "null", "localhost:8080", "é"] {
            assert!(asks(listed(), "localhost:8080", origin).is_err(), "{origin}");
        }
        let error = asks(Origins::None, "localhost", "https://example.org").unwrap_err();
        assert!(error.message.contains("https://example.org") && error.message.contains("--cors"), "{error}");
    }
}
