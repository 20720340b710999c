//! What is asked and what is answered.

use crate::{HeaderMap, Method};
use std::fmt;
use url::Url;

/// One HTTP request. The client sets `host`, `content-length` and `accept-encoding` by itself.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Headers.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Vec<u8>,
}

/// One HTTP answer, whole.
#[derive(Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The body, at most [`crate::Guard::max_body`] bytes.
    pub body: Vec<u8>,
    /// Who answered in the end: another URL than the one asked where a redirect was followed.
    pub url: Url,
}

impl Request {
    /// A `GET` without headers.
    #[must_use]
    pub fn get(url: Url) -> Self {
        Self { method: Method::GET, url, headers: HeaderMap::new(), body: Vec::new() }
    }
}

impl Response {
    /// Whether the status is 2xx.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self.status, 200..300)
    }
}

/// Bytes that leave with a request as the policy counts them: the URL as it is sent, the headers that
/// the caller set, and the body. Data leaks through any of them.
#[must_use]
pub fn bytes_out(request: &Request) -> u64 {
    let headers = request.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    let parts = [request.url.as_str().len(), request.body.len()];
    headers.chain(parts).fold(0, |sum, part| sum.saturating_add(part as u64))
}

/// The host as a policy names it: with the port unless it is the scheme's own.
///
/// `https://feed.example:443/x` is `feed.example`, `http://127.0.0.1:4021/` is `127.0.0.1:4021`.
#[must_use]
pub fn host_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

// Headers and bodies may hold credentials and signed payments: neither is printed.

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &self.url.as_str())
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("body", &format_args!("{} bytes", self.body.len()))
            .finish()
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("url", &self.url.as_str())
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("body", &format_args!("{} bytes", self.body.len()))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_named_as_the_policy_names_it() {
        for (url, named) in [
            ("https://Feed.Example/x", "feed.example"),
            ("https://feed.example:443/x", "feed.example"),
            ("https://feed.example:8443/x", "feed.example:8443"),
            ("http://127.0.0.1:4021/", "127.0.0.1:4021"),
            ("http://[::1]:4021/", "[::1]:4021"),
            ("http://feed.example:80/", "feed.example"),
        ] {
            assert_eq!(host_port(&Url::parse(url).unwrap()), named);
        }
    }

    #[test]
    fn what_leaves_is_counted_url_headers_and_body() {
        let mut request = Request::get(Url::parse("https://feed.example/a?b=c").unwrap());
        assert_eq!(bytes_out(&request), 26);
        request.body = vec![0; 100];
        assert_eq!(bytes_out(&request), 126);
        request.headers.insert("x-note", "four".parse().unwrap());
        assert_eq!(bytes_out(&request), 136);
    }

    #[test]
    fn a_payment_is_not_printed() {
        let mut request = Request::get(Url::parse("https://feed.example/").unwrap());
        request.headers.insert("payment-signature", "c2VjcmV0".parse().unwrap());
        request.body = b"c2VjcmV0".to_vec();
        assert!(!format!("{request:?}").contains("c2VjcmV0"));
    }
}
