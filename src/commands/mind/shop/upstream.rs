//! A service that is there already, reached through the guarded client: that one and no other.
//!
//! A redirect of its goes back to the buyer as it is. Followed here it would lead to what costs
//! something, or to what lies outside the service's own URL. A payment is bound to the method, the
//! URL, the content type and the body of its request, so of the other headers only those are passed
//! on that say in which form it is wanted: no cookie, no key and no header of a proxy's makes
//! something else of what was bought.

use crate::failure::{Done, Failure};
use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderName, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use marque_net::{Client, Guard, host_port};
use marque_payments::x402;
use std::time::Duration;
use url::Url;

/// The longest answer that is sold, in bytes.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// The longest request that is passed on, in bytes; the counter reads no longer one.
const MAX_REQUEST: usize = 1024 * 1024;

/// So long the service may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the service is told of a request's headers, the first of each.
const PASSED_ON: [HeaderName; 5] = [
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::CONTENT_TYPE,
    header::IF_NONE_MATCH,
    header::USER_AGENT,
];

/// Headers of one connection, which an answer leaves behind.
const OURS: [HeaderName; 9] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::HOST,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The service.
#[derive(Debug)]
pub(super) struct Upstream {
    net: Client,
    base: Url,
}

impl Upstream {
    pub(super) fn new(base: Url) -> Done<Self> {
        let guard = Guard {
            max_body: MAX_ANSWER,
            timeout: PATIENCE,
            max_redirects: 0,
            ..Guard::naming([host_port(&base).as_str()])
        };
        guard.vet(&base).map_err(Failure::usage)?;
        Ok(Self { net: Client::new(guard).map_err(Failure::new)?, base })
    }

    /// Whether anybody answers there.
    pub(super) async fn knock(&self) -> Result<(), marque_net::NetError> {
        let method = marque_net::Method::HEAD;
        let request = marque_net::Request { method, ..marque_net::Request::get(self.base.clone()) };
        self.net.send(request).await.map(drop)
    }

    /// Where a request goes: below the service's own URL, or nowhere.
    pub(super) fn target(&self, uri: &Uri) -> Option<Url> {
        let mut url = self.base.clone();
        let below = self.base.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{below}{}", uri.path()));
        url.set_query(uri.query());
        // Dots are worked off by now, also where they were written otherwise.
        let inside = url.path().strip_prefix(&below).is_some_and(|rest| rest.starts_with('/'));
        inside.then_some(url)
    }

    pub(super) async fn forward(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let Some(url) = self.target(&parts.uri) else {
            return (StatusCode::NOT_FOUND, "there is no such path").into_response();
        };
        let Ok(body) = to_bytes(body, MAX_REQUEST).await else {
            return StatusCode::PAYLOAD_TOO_LARGE.into_response();
        };
        let request = marque_net::Request {
            method: parts.method,
            url,
            headers: passed_on(&parts.headers),
            body: body.to_vec(),
        };
        match self.net.send(request).await {
            Ok(answer) => {
                let mut response = Response::new(Body::from(answer.body));
                *response.status_mut() =
                    StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
                *response.headers_mut() = passed_back(answer.headers);
                response
            }
            Err(error) => {
                tracing::error!(%error, "the service behind the counter");
                (StatusCode::BAD_GATEWAY, "the service behind this counter does not answer")
                    .into_response()
            }
        }
    }
}

fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let kept = PASSED_ON.into_iter().filter_map(|name| {
        let value = headers.get(&name)?.clone();
        Some((name, value))
    });
    kept.collect()
}

/// Without what is of one connection, and without what only the counter may say.
fn passed_back(mut headers: HeaderMap) -> HeaderMap {
    for name in OURS {
        headers.remove(name);
    }
    for name in [x402::PAYMENT_SIGNATURE, x402::PAYMENT_REQUIRED, x402::PAYMENT_RESPONSE] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Router, response::Redirect, routing::any};
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    #[test]
    fn a_request_goes_below_the_services_url_or_nowhere() {
        let upstream = Upstream::new("http://127.0.0.1:9/api".parse().unwrap()).unwrap();
        let target = |path: &str| upstream.target(&path.parse().unwrap()).map(String::from);
        for (path, url) in [
            ("/a/b?c=d", Some("http://127.0.0.1:9/api/a/b?c=d")),
            ("/", Some("http://127.0.0.1:9/api/")),
            ("//evil.example/", Some("http://127.0.0.1:9/api//evil.example/")),
            ("/a/../b", Some("http://127.0.0.1:9/api/b")),
            ("/../admin", None),
            ("/%2e%2e/admin", None),
            ("/..", None),
        ] {
            assert_eq!(target(path).as_deref(), url, "{path}");
        }
    }

    /// A service on this machine, and its counter's way to it.
    async fn service(router: Router, below: &str) -> Upstream {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}{below}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Upstream::new(base.parse().unwrap()).unwrap()
    }

    async fn text(response: Response) -> String {
        String::from_utf8(to_bytes(response.into_body(), 4_096).await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn where_the_service_points_to_is_the_buyers_business_and_never_fetched_for_it() {
        let hits = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&hits);
        let secret = any(move || {
            count.fetch_add(1, Ordering::SeqCst);
            async { "sold or secret" }
        });
        let router = Router::new()
            .route("/api/free/latest", any(async || Redirect::temporary("/api/gold.csv")))
            .route("/api/free/out", any(async || Redirect::to("/admin")))
            .route("/api/free/loop", any(async || Redirect::permanent("/api/free/loop")))
            .route("/api/free/away", any(async || Redirect::to("https://elsewhere.example/")))
            .route("/api/gold.csv", secret.clone())
            .route("/admin", secret);
        let upstream = service(router, "/api").await;
        for (path, status, location) in [
            ("/free/latest", 307, "/api/gold.csv"),
            ("/free/out", 303, "/admin"),
            ("/free/loop", 308, "/api/free/loop"),
            ("/free/away", 303, "https://elsewhere.example/"),
        ] {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            let answer = upstream.forward(request).await;
            assert_eq!(answer.status(), status, "{path}");
            assert_eq!(answer.headers()[header::LOCATION], location, "{path}");
            assert!(!text(answer).await.contains("sold or secret"), "{path}");
        }
        assert_eq!(hits.load(Ordering::SeqCst), 0, "somebody followed");
    }

    #[tokio::test]
    async fn a_header_that_no_payment_is_bound_to_does_not_change_what_is_bought() {
        let told = any(async |headers: HeaderMap| {
            let mut told: Vec<String> = headers
                .iter()
                .filter(|(name, _)| !["host", "content-length"].contains(&name.as_str()))
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .collect();
            told.sort();
            told.join("\n")
        });
        let upstream = service(Router::new().fallback(told), "").await;
        let request = Request::builder()
            .method("POST")
            .uri("/report")
            .header("accept", "text/csv")
            .header("accept-language", "fr")
            .header("content-type", "application/json")
            .header("content-type", "text/sneaked-in")
            .header("if-none-match", "\"1\"")
            .header("user-agent", "buyer/1")
            .header("authorization", "Bearer mallory")
            .header("cookie", "tenant=other")
            .header("range", "bytes=131072-")
            .header("x-http-method-override", "DELETE")
            .header("x-original-url", "/admin")
            .header("payment-signature", "signed")
            .body(Body::from("{}"))
            .unwrap();
        let told = text(upstream.forward(request).await).await;
        let told: Vec<&str> =
            told.lines().filter(|line| !line.starts_with("accept-encoding: ")).collect();
        let passed = [
            "accept-language: fr",
            "accept: text/csv",
            "content-type: application/json",
            "if-none-match: \"1\"",
            "user-agent: buyer/1",
        ];
        assert_eq!(told, passed);
    }

    #[test]
    fn only_a_service_that_the_guard_lets_be_reached_can_be_sold() {
        for (url, good) in [
            ("http://127.0.0.1:8000/", true),
            ("https://api.example/", true),
            ("http://api.example/", false),
            ("http://10.0.0.1:80/", false),
            ("https://user:word@api.example/", false),
        ] {
            assert_eq!(Upstream::new(url.parse().unwrap()).is_ok(), good, "{url}");
        }
    }
}
