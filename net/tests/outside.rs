//! The guard against a real listener: what it lets through, and that nothing else arrives.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect},
    routing::any,
};
use futures::StreamExt as _;
use marque_net::{Client, Guard, Method, NetError, Request, Url};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::net::TcpListener;

/// Counts connections to one port on both loopback addresses, and answers none.
struct Sentinel {
    port: u16,
    knocks: Arc<AtomicUsize>,
}

impl Sentinel {
    async fn start() -> Self {
        let v4 = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = v4.local_addr().unwrap().port();
        let knocks = Arc::new(AtomicUsize::new(0));
        let v6 = TcpListener::bind(("::1", port)).await.ok();
        for listener in [Some(v4), v6].into_iter().flatten() {
            let knocks = Arc::clone(&knocks);
            tokio::spawn(async move {
                while listener.accept().await.is_ok() {
                    knocks.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        Self { port, knocks }
    }

    async fn knocks(&self) -> usize {
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.knocks.load(Ordering::SeqCst)
    }
}

/// Spellings of this machine and of its neighbours. Every one must be refused before a connection.
const TRICKS: &[&str] = &[
    "127.0.0.1",
    "127.0.0.2",
    "127.255.255.254",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7F.0.0.1",
    "0x7f.1",
    "017700000001",
    "0177.0.0.1",
    "0177.0.0.01",
    "00000177.0.0.1",
    "127.0x0.0.1",
    "127.0.0.0x1",
    "%31%32%37.0.0.1",
    "127%2e0%2e0%2e1",
    "127。0。0。1",
    "127.0.0.1",
    "①②⑦.⓪.⓪.①",
    "127.0.0.1.",
    "0",
    "0.0.0.0",
    "0x0",
    "00.00.00.00",
    "0.0.0.1",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000::0001]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::ffff:0.0.0.0]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2002:7f00:0001::1]",
    "[2001::7f00:1]",
    "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
    "[fe80::1]",
    "[fec0::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "[100::1]",
    "[2001:db8::1]",
    "localhost",
    "LOCALHOST",
    "LocalHost",
    "localhost.",
    "a.localhost",
    "localhost.localdomain",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "ip6-localhost",
    "ip6-loopback",
    "printer",
    "printer.local",
    "router.lan",
    "metadata",
    "metadata.google.internal",
    "kubernetes.default.svc.cluster.local",
    "1.0.0.127.in-addr.arpa",
    "169.254.169.254",
    "0xa9fea9fe",
    "2852039166",
    "0251.0376.0251.0376",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::169.254.169.254]",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "10.0.0.1",
    "012.0.0.1",
    "0xa000001",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "192.168.257",
    "100.64.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
];

#[tokio::test]
async fn no_spelling_of_a_private_host_reaches_a_listener() {
    let sentinel = Sentinel::start().await;
    let port = sentinel.port;
    // The port is open and the scheme is right, so that only the host can be what is refused.
    let client = Client::new(Guard { ports: vec![port], ..Guard::default() }).unwrap();
    let mut attempts = 0;
    for host in TRICKS {
        for scheme in ["https", "http"] {
            let Ok(url) = Url::parse(&format!("{scheme}://{host}:{port}/")) else { continue };
            let error = client.send(Request::get(url)).await.expect_err(host);
            attempts += 1;
            let by_host = matches!(error, NetError::Address { .. } | NetError::Host { .. });
            assert!(by_host, "{scheme}://{host} was refused by something else: {error}");
        }
    }
    assert!(attempts >= 120, "only {attempts} of the spellings are URLs");
    assert_eq!(sentinel.knocks().await, 0);
}

#[tokio::test]
async fn a_url_cannot_hide_its_host_behind_a_user_name() {
    let sentinel = Sentinel::start().await;
    let client = Client::new(Guard { ports: vec![sentinel.port], ..Guard::default() }).unwrap();
    for url in [
        format!("https://feed.example@127.0.0.1:{}/", sentinel.port),
        format!("https://feed.example:443@127.0.0.1:{}/", sentinel.port),
        format!("https://127.0.0.1:{}@feed.example/", sentinel.port),
    ] {
        let error = client.send(Request::get(Url::parse(&url).unwrap())).await.unwrap_err();
        assert!(matches!(error, NetError::Credentials { .. }), "{url}: {error}");
    }
    assert_eq!(sentinel.knocks().await, 0);
}

#[tokio::test]
async fn the_sentinel_does_count_when_the_policy_names_it() {
    let sentinel = Sentinel::start().await;
    let named = format!("127.0.0.1:{}", sentinel.port);
    let guard = Guard { timeout: Duration::from_millis(200), ..Guard::naming([named.as_str()]) };
    let url = Url::parse(&format!("http://{named}/")).unwrap();
    // It hangs up without an answer.
    assert!(Client::new(guard).unwrap().send(Request::get(url)).await.is_err());
    assert_eq!(sentinel.knocks().await, 1);
}

/// A server on loopback that the policy names, and the base of its URLs.
async fn server(router: Router) -> (String, Guard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let named = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let guard = Guard { timeout: Duration::from_secs(5), ..Guard::naming([named.as_str()]) };
    (format!("http://{named}"), guard)
}

fn get(base: &str, path: &str) -> Request {
    Request::get(Url::parse(&format!("{base}{path}")).unwrap())
}

#[tokio::test]
async fn a_redirect_to_loopback_is_refused_even_where_every_host_is_allowed() {
    let sentinel = Sentinel::start().await;
    let mut router = Router::new();
    let targets = [
        format!("http://127.0.0.1:{}/", sentinel.port),
        format!("https://127.0.0.1:{}/", sentinel.port),
        format!("//[::1]:{}/", sentinel.port),
        format!("https://0x7f000001:{}/", sentinel.port),
        format!("https://localhost:{}/", sentinel.port),
        format!("https://user@127.0.0.1:{}/", sentinel.port),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "file:///etc/passwd".to_owned(),
    ];
    for (index, target) in targets.iter().enumerate() {
        let target = target.clone();
        router = router.route(
            &format!("/{index}"),
            any(async move || (StatusCode::FOUND, [(header::LOCATION, target)])),
        );
    }
    let (base, guard) = server(router).await;
    let client = Client::new(Guard { ports: vec![sentinel.port], ..guard }).unwrap();
    for (index, target) in targets.iter().enumerate() {
        let request = get(&base, &format!("/{index}"));
        let error = client.send_following(request, |_| true).await.expect_err(target);
        let refused = matches!(
            error,
            NetError::Address { .. }
                | NetError::Host { .. }
                | NetError::Credentials { .. }
                | NetError::Scheme { .. }
        );
        assert!(refused, "{target}: {error}");
    }
    assert_eq!(sentinel.knocks().await, 0);
}

#[tokio::test]
async fn a_redirect_is_followed_at_home_and_stops_at_another_host() {
    let other = Router::new().route(
        "/landed",
        any(async |headers: HeaderMap| format!("{}", headers.contains_key("authorization"))),
    );
    let (elsewhere, other_guard) = server(other).await;
    let target = format!("{elsewhere}/landed");
    let router = Router::new()
        .route("/home", any(async || Redirect::temporary("/landed")))
        .route("/landed", any(async || "home"))
        .route("/away", any(async move || Redirect::temporary(&target)))
        .route("/loop", any(async || Redirect::temporary("/loop")));
    let (base, mut guard) = server(router).await;
    guard.loopback.extend(other_guard.loopback);
    let client = Client::new(guard).unwrap();

    let home = client.send(get(&base, "/home")).await.unwrap();
    assert_eq!((home.body.as_slice(), home.url.path()), (b"home".as_slice(), "/landed"));

    let away = client.send(get(&base, "/away")).await.unwrap_err();
    assert!(matches!(away, NetError::RedirectElsewhere { .. }), "{away}");

    let mut request = get(&base, "/away");
    request.headers.insert("authorization", "secret".parse().unwrap());
    let allowed = client.send_following(request, |_| true).await.unwrap();
    assert_eq!(allowed.body, b"false", "the other host saw the credentials");

    let endless = client.send(get(&base, "/loop")).await.unwrap_err();
    assert_eq!(endless, NetError::TooManyRedirects { limit: 5 });
}

#[tokio::test]
async fn a_request_that_carries_a_payment_is_sent_once() {
    let hits = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&hits);
    let router = Router::new().route(
        "/pay",
        any(async move || {
            counter.fetch_add(1, Ordering::SeqCst);
            Redirect::temporary("/pay")
        }),
    );
    let (base, guard) = server(router).await;
    let mut request = get(&base, "/pay");
    request.headers.insert("PAYMENT-SIGNATURE", "signed".parse().unwrap());
    let answer = Client::new(guard).unwrap().send_following(request, |_| true).await.unwrap();
    assert_eq!((answer.status, hits.load(Ordering::SeqCst)), (307, 1));
}

#[tokio::test]
async fn a_body_is_cut_off_at_the_cap_whether_or_not_its_length_is_announced() {
    let chunks =
        || futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![7_u8; 4096])).boxed();
    let router = Router::new()
        .route("/exact", any(async || vec![7_u8; 10_000]))
        .route("/announced", any(async || vec![7_u8; 10_001]))
        .route("/unannounced", any(async move || Body::from_stream(chunks().take(3))))
        .route("/endless", any(async move || Body::from_stream(chunks())));
    let (base, guard) = server(router).await;
    let client = Client::new(Guard { max_body: 10_000, ..guard }).unwrap();
    assert_eq!(client.send(get(&base, "/exact")).await.unwrap().body.len(), 10_000);
    for path in ["/announced", "/unannounced", "/endless"] {
        let error = client.send(get(&base, path)).await.unwrap_err();
        assert!(matches!(error, NetError::TooLong { limit: 10_000, .. }), "{path}: {error}");
    }
}

#[tokio::test]
async fn an_answer_that_is_compressed_or_too_slow_is_not_taken() {
    let router = Router::new()
        .route("/gzip", any(async || ([(header::CONTENT_ENCODING, "gzip")], "x").into_response()))
        .route(
            "/asked",
            any(async |headers: HeaderMap| {
                headers
                    .get(header::ACCEPT_ENCODING)
                    .map(|value| value.as_bytes().to_vec())
                    .unwrap_or_default()
            }),
        )
        .route("/slow", any(async || tokio::time::sleep(Duration::from_secs(60)).await));
    let (base, guard) = server(router).await;
    let client = Client::new(Guard { timeout: Duration::from_millis(300), ..guard }).unwrap();
    assert!(matches!(client.send(get(&base, "/gzip")).await, Err(NetError::Encoded { .. })));
    assert_eq!(client.send(get(&base, "/asked")).await.unwrap().body, b"identity");
    assert!(matches!(client.send(get(&base, "/slow")).await, Err(NetError::Timeout { .. })));
}

#[tokio::test]
async fn a_request_cannot_choose_its_own_host_header_or_tunnel() {
    let (base, guard) = server(Router::new().route("/", any(async || "x"))).await;
    let client = Client::new(guard).unwrap();
    let mut request = get(&base, "/");
    request.headers.insert("host", "internal.example".parse().unwrap());
    assert_eq!(client.send(request).await.unwrap_err(), NetError::Header("host".to_owned()));
    let tunnel = Request { method: Method::CONNECT, ..get(&base, "/") };
    assert!(matches!(client.send(tunnel).await, Err(NetError::Method(_))));
}

/// Proxy variables are read when a process starts, so the check runs in a process of its own.
#[test]
fn a_proxy_in_the_environment_is_ignored() {
    const CHILD: &str = "MARQUE_NET_TEST_PROXIED";
    if std::env::var_os(CHILD).is_some() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        return runtime.block_on(async {
            let (base, guard) = server(Router::new().route("/", any(async || "direct"))).await;
            let client = Client::new(guard).unwrap();
            assert_eq!(client.send(get(&base, "/")).await.unwrap().body, b"direct");
            let url = Url::parse("https://marque.invalid.example/").unwrap();
            assert!(client.send(Request::get(url)).await.is_err());
        });
    }
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "a_proxy_in_the_environment_is_ignored", "--nocapture"]);
    child.env(CHILD, "1").env_remove("NO_PROXY").env_remove("no_proxy");
    for variable in
        ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
    {
        child.env(variable, &address);
    }
    let done = child.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    assert!(proxy.accept().is_err(), "the proxy was asked");
}
