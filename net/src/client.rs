//! The client: vet, connect, take at most so much, follow by hand.

use crate::{
    Guard, HeaderMap, HeaderValue, Method, NetError, Request, Response, Stream,
    decode::{self, BodyError, Coding},
    header,
    message::host_port,
    redirect::{carries_payment, next_hop},
    resolve::{Lookup, System, Vetted},
};
use futures::TryStreamExt as _;
use std::{error::Error, fmt, io, sync::Arc, time::Duration};
use tokio_util::io::StreamReader;
use url::Url;

/// Headers that decide where a request goes or where its body ends.
const OUR_OWN: [header::HeaderName; 7] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::HOST,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// No connection takes longer than this to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A guarded HTTP client. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client {
    guard: Arc<Guard>,
    http: reqwest::Client,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("guard", &self.guard).finish_non_exhaustive()
    }
}

impl Client {
    /// A client inside these bounds.
    ///
    /// # Errors
    /// [`NetError::NotLoopback`] for a loopback entry that is none, [`NetError::Setup`] where TLS
    /// cannot be set up (no root certificates on this machine).
    pub fn new(guard: Guard) -> Result<Self, NetError> {
        Self::with_lookup(guard, Arc::new(System))
    }

    fn with_lookup(guard: Guard, lookup: Arc<dyn Lookup>) -> Result<Self, NetError> {
        guard.vet_loopback()?;
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT.min(guard.timeout))
            .dns_resolver(Arc::new(Vetted::new(lookup, &guard)))
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .user_agent(concat!("marque/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| NetError::Setup(words(&error)))?;
        Ok(Self { guard: Arc::new(guard), http })
    }

    /// The bounds.
    #[must_use]
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Sends a request and follows redirects on the same host, as the policy names hosts. A request
    /// that carries a payment is not followed anywhere: its 3xx answer is returned as it is, and so
    /// is every one where the guard follows none.
    ///
    /// # Errors
    /// [`NetError::RedirectElsewhere`] for a redirect to another host: being allowed to ask one host
    /// is not being allowed to ask those that it points to. Otherwise whatever the guard refuses or
    /// the network breaks.
    pub async fn send(&self, request: Request) -> Result<Response, NetError> {
        self.send_following(request, |_| false).await
    }

    /// As [`Self::send`], and follows to other hosts where `allow` says so. Credentials, payments
    /// and everything else but a few harmless headers stay behind on a change of host.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_following(
        &self,
        request: Request,
        allow: impl Fn(&Url) -> bool + Send,
    ) -> Result<Response, NetError> {
        let host = host_port(&request.url);
        let after = self.guard.timeout;
        let pays = carries_payment(&request.headers);
        let limit = if pays { self.guard.max_goods } else { self.guard.max_body };
        let whole = async {
            let (answer, url) = self.follow(request, decode::ACCEPTED, allow).await?;
            self.take(answer, url, limit).await
        };
        match tokio::time::timeout(after, whole).await {
            Ok(answer) => answer,
            Err(_) => Err(NetError::Timeout { host, after }),
        }
    }

    /// As [`Self::send_following`], for an answer that is longer than memory: its body is left to be
    /// taken piece by piece, unpacked by nobody. The guard's timeout is that of the beginning and of
    /// each piece; its caps do not count.
    ///
    /// # Errors
    /// As [`Self::send`], and [`NetError::Encoded`] for an answer that is packed.
    pub async fn open(
        &self,
        request: Request,
        allow: impl Fn(&Url) -> bool + Send,
    ) -> Result<Stream, NetError> {
        let host = host_port(&request.url);
        let after = self.guard.timeout;
        let begun = self.follow(request, decode::AS_IT_IS, allow);
        let (answer, url) = match tokio::time::timeout(after, begun).await {
            Ok(begun) => begun?,
            Err(_) => return Err(NetError::Timeout { host, after }),
        };
        let packed = |encoding| NetError::Encoded { host: host_port(&url), encoding };
        match coding(answer.headers()).map_err(packed)? {
            Coding::Identity => Ok(Stream::new(answer, url, after)),
            coding => Err(packed(format!("{coding:?}").to_lowercase())),
        }
    }

    /// The answer without its body, and who gave it, after whatever redirects are followed.
    async fn follow(
        &self,
        mut request: Request,
        accepted: &'static str,
        allow: impl Fn(&Url) -> bool + Send,
    ) -> Result<(reqwest::Response, Url), NetError> {
        let once = carries_payment(&request.headers) || self.guard.max_redirects == 0;
        for _ in 0..=self.guard.max_redirects {
            let answer = self.exchange(&request, accepted).await?;
            if once {
                return Ok((answer, request.url));
            }
            let Some(next) = next_hop(&request, answer.status().as_u16(), answer.headers())? else {
                return Ok((answer, request.url));
            };
            self.guard.vet(&next.url)?;
            let (from, to) = (host_port(&request.url), host_port(&next.url));
            if from != to && !allow(&next.url) {
                return Err(NetError::RedirectElsewhere { from, to });
            }
            tracing::debug!(%from, %to, "following a redirect");
            request = next;
        }
        Err(NetError::TooManyRedirects { limit: self.guard.max_redirects })
    }

    /// One request, one answer without its body.
    async fn exchange(
        &self,
        request: &Request,
        accepted: &'static str,
    ) -> Result<reqwest::Response, NetError> {
        self.guard.vet(&request.url)?;
        vet_method(&request.method)?;
        let mut headers = vet_headers(&request.headers)?;
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted));
        self.http
            .request(request.method.clone(), request.url.clone())
            .headers(headers)
            .body(request.body.clone())
            .send()
            .await
            .map_err(|error| translate(&error, &request.url))
    }

    /// The whole answer, unpacked, or an error as soon as it gets too long.
    async fn take(
        &self,
        answer: reqwest::Response,
        url: Url,
        limit: usize,
    ) -> Result<Response, NetError> {
        let host = host_port(&url);
        let status = answer.status().as_u16();
        let mut headers = answer.headers().clone();
        let coding = coding(&headers)
            .map_err(|encoding| NetError::Encoded { host: host.clone(), encoding })?;
        if answer.content_length().is_some_and(|length| length > limit as u64) {
            return Err(NetError::TooLong { host, limit });
        }
        let mut broken = None;
        let stream = answer.bytes_stream().map_err(|error| {
            broken = Some(translate(&error, &url));
            io::Error::other("the answer did not arrive")
        });
        let body = decode::read(StreamReader::new(Box::pin(stream)), coding, limit).await;
        let body = match (body, broken) {
            (Ok(body), _) => body,
            (Err(BodyError::TooLong), _) => return Err(NetError::TooLong { host, limit }),
            (Err(BodyError::Broken(_)), Some(error)) => return Err(error),
            (Err(BodyError::Broken(error)), None) => {
                return Err(NetError::Garbled { host, why: error.to_string() });
            }
        };
        if coding != Coding::Identity {
            // They speak of the packed body, which nobody has any more.
            headers.remove(header::CONTENT_ENCODING);
            headers.remove(header::CONTENT_LENGTH);
        }
        Ok(Response { status, headers, body, url })
    }
}

/// How the body is packed, or the words of an answer that was not asked for.
fn coding(headers: &HeaderMap) -> Result<Coding, String> {
    let mut said = headers.get_all(header::CONTENT_ENCODING).iter();
    let Some(first) = said.next() else { return Ok(Coding::Identity) };
    let text = String::from_utf8_lossy(first.as_bytes()).into_owned();
    match Coding::named(&text) {
        Some(coding) if said.next().is_none() => Ok(coding),
        _ => Err(text.chars().filter(|c| !c.is_control()).take(40).collect()),
    }
}

fn vet_method(method: &Method) -> Result<(), NetError> {
    match *method {
        Method::CONNECT | Method::TRACE => Err(NetError::Method(method.to_string())),
        _ => Ok(()),
    }
}

fn vet_headers(headers: &HeaderMap) -> Result<HeaderMap, NetError> {
    match headers.keys().find(|name| OUR_OWN.contains(name)) {
        Some(name) => Err(NetError::Header(name.to_string())),
        None => Ok(headers.clone()),
    }
}

/// Our own refusal where the resolver made one, else the transport's words.
pub(crate) fn translate(error: &reqwest::Error, url: &Url) -> NetError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(ours) = current.downcast_ref::<NetError>() {
            return ours.clone();
        }
        cause = current.source();
    }
    NetError::Transport { host: host_port(url), why: words(error) }
}

/// The innermost cause: what a person can act on.
fn words(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io,
        net::IpAddr,
        pin::Pin,
        sync::atomic::{AtomicUsize, Ordering},
    };

    /// Another private address for each question: DNS rebinding, once the name has been let through.
    struct Rebinding(AtomicUsize);

    impl Lookup for Rebinding {
        fn lookup(
            &self,
            _: String,
        ) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> {
            let first = self.0.fetch_add(1, Ordering::SeqCst) == 0;
            let answer = if first { [10, 0, 0, 1] } else { [127, 0, 0, 1] };
            Box::pin(async move { Ok(vec![IpAddr::from(answer)]) })
        }
    }

    #[tokio::test]
    async fn a_public_name_with_a_private_address_reaches_nothing() {
        let sentinel = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = sentinel.local_addr().unwrap().port();
        let guard = Guard { ports: vec![port], ..Guard::default() };
        let client = Client::with_lookup(guard, Arc::new(Rebinding(AtomicUsize::new(0)))).unwrap();
        for _ in 0..3 {
            let url = Url::parse(&format!("https://rebind.example:{port}/")).unwrap();
            let error = client.send(Request::get(url)).await.unwrap_err();
            assert!(matches!(error, NetError::Address { .. }), "{error}");
        }
        let knock = tokio::time::timeout(Duration::from_millis(50), sentinel.accept()).await;
        assert!(knock.is_err(), "the sentinel was reached");
    }
}
