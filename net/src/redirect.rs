//! Redirects, followed by hand: what is asked next, and what is left behind.

use crate::{HeaderMap, Method, NetError, Request, header, message::host_port};
use url::Url;

/// What may travel to another host. Everything else may be a credential.
const HARMLESS: [header::HeaderName; 6] = [
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::CONTENT_TYPE,
    header::IF_RANGE,
    header::RANGE,
    header::USER_AGENT,
];

/// Whether the request carries money: such a request is never repeated to anyone.
#[must_use]
pub fn carries_payment(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| {
        let name = name.as_str();
        name.starts_with("payment-") || name == "x-payment"
    })
}

/// The request that a redirect asks for; `None` if the answer is no redirect.
///
/// # Errors
/// [`NetError::RedirectUnreadable`] for a `Location` that is no URL.
pub fn next_hop(
    request: &Request,
    status: u16,
    answer: &HeaderMap,
) -> Result<Option<Request>, NetError> {
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = answer.get(header::LOCATION) else { return Ok(None) };
    let unreadable = || NetError::RedirectUnreadable { from: host_port(&request.url) };
    let location = location.to_str().map_err(|_| unreadable())?;
    let url = request.url.join(location).map_err(|_| unreadable())?;

    let mut next = Request { url, ..request.clone() };
    let rewrites = matches!(status, 301..=303) && request.method != Method::HEAD;
    if rewrites && request.method != Method::GET {
        next.method = Method::GET;
        next.body.clear();
        next.headers.remove(header::CONTENT_TYPE);
    }
    if !same_origin(&request.url, &next.url) {
        next.headers = harmless(&request.headers);
        if next.body.is_empty() {
            next.headers.remove(header::CONTENT_TYPE);
        }
    }
    Ok(Some(next))
}

fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme() && host_port(a) == host_port(b)
}

fn harmless(headers: &HeaderMap) -> HeaderMap {
    let kept = headers.iter().filter(|(name, _)| HARMLESS.contains(name));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        let mut headers = HeaderMap::new();
        for name in ["authorization", "cookie", "x-api-key", "payment-signature", "accept"] {
            headers.insert(name, "secret".parse().unwrap());
        }
        Request {
            method: Method::POST,
            url: Url::parse("https://a.example/one").unwrap(),
            headers,
            body: b"body".to_vec(),
        }
    }

    fn to(location: &str, status: u16) -> Request {
        let mut answer = HeaderMap::new();
        answer.insert(header::LOCATION, location.parse().unwrap());
        next_hop(&request(), status, &answer).unwrap().unwrap()
    }

    #[test]
    fn another_origin_gets_no_credentials() {
        for elsewhere in ["https://b.example/", "https://a.example:8443/", "http://a.example/"] {
            let next = to(elsewhere, 307);
            assert_eq!(
                next.headers.keys().map(|name| name.as_str()).collect::<Vec<_>>(),
                ["accept"]
            );
        }
        assert_eq!(to("/two", 307).headers.len(), 5);
    }

    #[test]
    fn the_body_survives_307_and_not_303() {
        assert_eq!(
            (to("/two", 307).method, to("/two", 307).body),
            (Method::POST, b"body".to_vec())
        );
        assert_eq!((to("/two", 303).method, to("/two", 303).body), (Method::GET, vec![]));
        assert_eq!(to("/two", 301).url.as_str(), "https://a.example/two");
    }

    #[test]
    fn a_payment_is_recognised_in_both_versions_of_the_header() {
        assert!(carries_payment(&request().headers));
        let mut headers = HeaderMap::new();
        assert!(!carries_payment(&headers));
        headers.insert("X-PAYMENT", "x".parse().unwrap());
        assert!(carries_payment(&headers));
    }
}
