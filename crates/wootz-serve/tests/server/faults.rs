//! A device that fails costs the requests of one step.

use serde_json::json;

use crate::support::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_step_is_a_500_that_says_so_and_the_next_request_works() {
    let server = TestServer::start().await;
    for body in [
        json!({"prompt": "The", "max_tokens": 3}),
        json!({"prompt": "The", "max_tokens": 3, "stream": true}),
        json!({"prompt": ["The", "A"], "max_tokens": 3, "n": 2}),
    ] {
        server.controls.fail_once();
        let failed = server.post("/v1/completions", &body).await;
        assert_eq!(failed.status, 500, "{}", failed.text);
        let error = &failed.json()["error"];
        assert_eq!(error["type"], "server_error");
        assert!(error["message"].as_str().unwrap().contains("the device failed"), "{error}");
        assert_eq!(server.post("/v1/completions", &body).await.status, 200);
    }
}
