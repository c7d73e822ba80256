//! Keys, sizes, times, and what is not HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;
use wootz_serve::{ApiKeys, Hosts, Origins};

use crate::support::TestServer;

/// What a server answers to some bytes, up to where it closes the connection.
async fn raw(server: &TestServer, bytes: Vec<u8>) -> String {
    let address = server.address;
    let talk = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        // A server that has had enough may close before all is written, or while its answer is read.
        let _ = stream.write_all(&bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::task::spawn_blocking(talk).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_keys_only_holders_may_ask() {
    let server =
        TestServer::start_with(|options| options.settings.keys = ApiKeys::new(["first", "second"])).await;
    let body = json!({"prompt": "The", "max_tokens": 2});
    let ask = |key: Option<&str>| {
        let request = server.client.post(server.url("/v1/completions")).json(&body);
        server.send(match key {
            Some(key) => request.bearer_auth(key),
            None => request,
        })
    };
    assert_eq!(ask(Some("first")).await.status, 200);
    assert_eq!(ask(Some("second")).await.status, 200);
    for key in [None, Some("third"), Some("firs"), Some("first2")] {
        let refused = ask(key).await;
        assert_eq!(
            (refused.status, refused.json()["error"]["code"].clone()),
            (401, json!("invalid_api_key"))
        );
        assert_eq!(refused.headers["www-authenticate"], "Bearer");
    }
    assert_eq!(server.get("/v1/models").await.status, 401);
    assert_eq!(server.get("/metrics").await.status, 401);
    assert_eq!(server.get("/health").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_long_is_not_read() {
    let server = TestServer::start_with(|options| options.settings.body_bytes = 1000).await;
    let long = json!({"prompt": "x".repeat(2000)});
    let refused = server.post("/v1/completions", &long).await;
    assert_eq!(refused.status, 413, "{}", refused.text);
    // Chunked, so that its length is not known before.
    let head = "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
        transfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    let chunk = format!("800\r\n{}\r\n", " ".repeat(0x800));
    let answer = raw(&server, format!("{head}{chunk}{chunk}0\r\n\r\n").into_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_head_or_body_loses_its_connection() {
    let short = Duration::from_millis(100);
    let server = TestServer::start_with(|options| options.settings.head_time = short).await;
    let answer = raw(&server, b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\n".to_vec()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    let idle = raw(&server, Vec::new()).await;
    assert!(idle.is_empty(), "{idle}");
    // Another, so that a head that arrives late on a busy machine is no matter.
    let server = TestServer::start_with(|options| options.settings.body_time = short).await;
    let body = "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
        content-length: 100\r\n\r\n{\"prompt\"";
    let answer = raw(&server, body.as_bytes().to_vec()).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_http_harms_nobody() {
    let server = TestServer::start().await;
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        b"GET /\x00 HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
        b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: -5\r\n\r\n".to_vec(),
        b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n"
            .to_vec(),
        b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n"
            .to_vec(),
        [b"GET / HTTP/1.1\r\n".to_vec(), b"a: b\r\n".repeat(500), b"\r\n".to_vec()].concat(),
        [b"GET / HTTP/1.1\r\na: ".to_vec(), vec![b'x'; 200_000], b"\r\n\r\n".to_vec()].concat(),
        [b"GET /".to_vec(), vec![b'x'; 200_000], b" HTTP/1.1\r\n\r\n".to_vec()].concat(),
    ] {
        let start = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        let answer = raw(&server, bytes).await;
        let refused =
            answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.0 4");
        assert!(refused, "{start}: {answer}");
    }
    assert_eq!(server.get("/health").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn web_pages_may_ask_if_their_origin_may() {
    let ask = |server: &TestServer, origin: &str| {
        let request = server.client.request(reqwest::Method::OPTIONS, server.url("/v1/completions"));
        request
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type,authorization")
    };
    let origin = "https://example.org";
    let server = TestServer::start_with(|options| {
        options.settings.origins = Origins::Listed(vec![origin.parse().unwrap()]);
        options.settings.keys = ApiKeys::new(["key"]);
    })
    .await;
    let allowed = server.send(ask(&server, origin)).await;
    assert_eq!(
        (allowed.status, &allowed.headers["access-control-allow-origin"]),
        (200, &origin.parse().unwrap())
    );
    let other = server.send(ask(&server, "https://example.com")).await;
    assert!(!other.headers.contains_key("access-control-allow-origin"));
    let closed = TestServer::start().await;
    let none = closed.send(ask(&closed, origin)).await;
    assert!(!none.headers.contains_key("access-control-allow-origin"));
    let refused = closed.send(closed.client.get(closed.url("/v1/models")).header("origin", origin)).await;
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (403, &json!("origin_not_allowed")));
    let own = format!("http://{}", closed.address);
    assert_eq!(
        closed.send(closed.client.get(closed.url("/v1/models")).header("origin", own)).await.status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_the_servers_own_is_refused() {
    let server = TestServer::start().await;
    async fn ask(server: &TestServer, host: &str) -> String {
        let place = format!("{host}:{}", server.address.port());
        let head = format!("GET /v1/models HTTP/1.1\r\nhost: {place}\r\nconnection: close\r\n\r\n");
        raw(server, head.into_bytes()).await
    }
    assert!(ask(&server, "localhost").await.starts_with("HTTP/1.1 200"));
    let refused = ask(&server, "evil.example").await;
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    let error: serde_json::Value = serde_json::from_str(refused.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(error["error"]["code"], "host_not_allowed");
    assert!(error["error"]["message"].as_str().unwrap().contains("--allowed-host"), "{error}");
    // The whole address in the first line counts, too.
    let absolute = b"GET http://evil.example/health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    assert!(raw(&server, absolute.to_vec()).await.starts_with("HTTP/1.1 403"));
    let hosts = Hosts::Listed(vec!["box.example".into()]);
    let listed = TestServer::start_with(|options| options.settings.hosts = hosts).await;
    assert!(ask(&listed, "Box.Example").await.starts_with("HTTP/1.1 200"));
    assert!(ask(&listed, "evil.example").await.starts_with("HTTP/1.1 403"));
}
