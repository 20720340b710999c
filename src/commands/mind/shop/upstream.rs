//! A service that is there already, reached through the guarded client: that one and no other.

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

/// Headers of one connection, and those that only the counter may write or read.
const OURS: [HeaderName; 10] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::HOST,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::ACCEPT_ENCODING,
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
            ..Guard::naming([host_port(&base).as_str()])
        };
        guard.vet(&base).map_err(Failure::usage)?;
        Ok(Self { net: Client::new(guard).map_err(Failure::new)?, base })
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
            headers: passed_on(parts.headers),
            body: body.to_vec(),
        };
        match self.net.send(request).await {
            Ok(answer) => {
                let mut response = Response::new(Body::from(answer.body));
                *response.status_mut() =
                    StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
                *response.headers_mut() = passed_on(answer.headers);
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

fn passed_on(mut headers: HeaderMap) -> HeaderMap {
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
