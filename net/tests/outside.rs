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
    "127.0.0.1%20",
    "127.00.00.01",
    "0x7f.0x0.0x0.0x1",
    "0x0000007f000001",
    "127.0.1",
    "127.65535",
    "127.0.0.01",
    "127.1.",
    "017700000001.",
    "0x7f000001.",
    "2130706433.",
    "127\u{ff0e}0\u{ff0e}0\u{ff0e}1",
    "127\u{ff61}0\u{ff61}0\u{ff61}1",
    "\u{ff11}\u{ff12}\u{ff17}.0.0.1",
    "1\u{ad}27.0.0.1",
    "127.0.0\u{200b}.1",
    "l\u{ad}ocalhost",
    "loc\u{200b}alhost",
    "\u{1d5c5}ocalhost",
    "localhos\u{1d5cd}",
    "localhost%00",
    "localhost%2e",
    "foo.localhost.",
    "a.b.c.localhost",
    "host.docker.internal",
    "gateway.docker.internal",
    "instance-data.ec2.internal",
    "rancher-metadata",
    "wpad",
    "db.corp",
    "nas.home",
    "fritz.box.home.arpa",
    "intranet",
    "site.intranet",
    "x.invalid",
    "x.test",
    "x.alt",
    "[::2]",
    "[::ffff:10.0.0.1]",
    "[::ffff:192.168.0.1]",
    "[::ffff:a00:1]",
    "[::ffff:169.254.170.2]",
    "[::ffff:100.100.100.200]",
    "[0:0:0:0:0:ffff:7f00:0001]",
    "[::FFFF:7F00:1]",
    "[::1:127.0.0.1]",
    "[::10.0.0.1]",
    "[64:ff9b::10.0.0.1]",
    "[64:ff9b::0.0.0.0]",
    "[64:ff9b::a00:1]",
    "[64:ff9b:0:0:0:0:192.168.1.1]",
    "[64:ff9b:1:ffff::1]",
    "[2002:a00:1::]",
    "[2002:a9fe:a9fe::]",
    "[2002:c0a8:1::1]",
    "[2001:0:7f00:1::]",
    "[2001::]",
    "[2001:10::1]",
    "[2001:2::1]",
    "[fe80::a9fe:a9fe]",
    "[febf::1]",
    "[fdff::1]",
    "[ff00::]",
    "[ff05::1:3]",
    "[3fff::1]",
    "[5f00::1]",
    "[4000::1]",
    "[e000::1]",
    "169.254.170.2",
    "169.254.0.1",
    "169.16689662",
    "0xa9.0xfe.0xa9.0xfe",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "198.51.100.7",
    "203.0.113.7",
    "10.255.255.255",
    "10.1",
    "172.16.1",
    "3232235521",
    "0300.0250.0.1",
    "100.127.255.255",
    "239.255.255.250",
    "248.0.0.1",
    "4294967295",
    "0xffffffff",
];

#[tokio::test]
async fn no_spelling_of_a_private_host_reaches_a_listener() {
    let sentinel = Sentinel::start().await;
    let port = sentinel.port;
    // The port is open and the scheme is right, so that only the host can be what is refused.
    let client = Client::new(Guard { ports: vec![port], ..Guard::default() }).unwrap();
    let (mut hosts, mut attempts) = (0, 0);
    for host in TRICKS {
        // What is no URL reaches nobody.
        hosts += usize::from(Url::parse(&format!("https://{host}:{port}/")).is_ok());
        for scheme in ["https", "http"] {
            let Ok(url) = Url::parse(&format!("{scheme}://{host}:{port}/")) else { continue };
            let error = client.send(Request::get(url)).await.expect_err(host);
            attempts += 1;
            let by_host = matches!(error, NetError::Address { .. } | NetError::Host { .. });
            assert!(by_host, "{scheme}://{host} was refused by something else: {error}");
        }
    }
    assert!(hosts >= 150, "only {hosts} of the spellings are URLs");
    assert_eq!(sentinel.knocks().await, 0);
    println!("{hosts} hosts, {attempts} requests, 0 connections");
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
    let guard = Guard { timeout: Duration::from_secs(60), ..Guard::naming([named.as_str()]) };
    (format!("http://{named}"), guard)
}

fn get(base: &str, path: &str) -> Request {
    Request::get(Url::parse(&format!("{base}{path}")).unwrap())
}

/// Ways to write where a redirect leads, each with the sentinel's port in the place of `PORT`.
const DETOURS: &[&str] = &[
    "http://127.0.0.1:PORT/",
    "https://127.0.0.1:PORT/",
    "HTTPS://127.0.0.1:PORT/",
    "//127.0.0.1:PORT/",
    "//[::1]:PORT/",
    "\\\\127.0.0.1:PORT\\",
    "/\\127.0.0.1:PORT/",
    "\\/127.0.0.1:PORT/",
    "https:\\\\127.0.0.1:PORT/",
    "https:///127.0.0.1:PORT/",
    "https:////127.0.0.1:PORT/",
    "  https://127.0.0.1:PORT/",
    "https://127.0.0.1:PORT/?next=https://feed.example/",
    "https://127.0.0.1:PORT#feed.example",
    "https://127.0.0.1:PORT/#@feed.example/",
    "https://feed.example@127.0.0.1:PORT/",
    "https://feed.example:443@127.0.0.1:PORT/",
    "https://feed.example%40127.0.0.1:PORT/",
    "https://user:secret@localhost:PORT/",
    "https://0x7f000001:PORT/",
    "https://2130706433:PORT/",
    "https://0177.0.0.1:PORT/",
    "https://127.1:PORT/",
    "https://0:PORT/",
    "https://localhost:PORT/",
    "https://localhost.:PORT/",
    "https://a.localhost:PORT/",
    "https://[::1]:PORT/",
    "https://[::]:PORT/",
    "https://[::ffff:127.0.0.1]:PORT/",
    "https://[64:ff9b::7f00:1]:PORT/",
    "https://[2002:7f00:1::]:PORT/",
    "https://[2001:0:4136:e378:8000:63bf:80ff:fffe]:PORT/",
    "http://169.254.169.254/latest/meta-data",
    "https://metadata.google.internal/computeMetadata/v1/",
    "https://10.0.0.1/",
    "https://printer.local/",
    "http://feed.example/",
    "ftp://127.0.0.1:PORT/",
    "ws://127.0.0.1:PORT/",
    "gopher://127.0.0.1:PORT/_x",
    "file:///etc/passwd",
    "file://127.0.0.1:PORT/",
    "data:text/plain,x",
    "javascript:alert(1)",
    "unix:/run/marque.sock",
    "https://feed.example:22/",
];

#[tokio::test]
async fn a_redirect_to_loopback_is_refused_even_where_every_host_is_allowed() {
    let sentinel = Sentinel::start().await;
    let port = sentinel.port.to_string();
    let targets: Vec<_> = DETOURS.iter().map(|detour| detour.replace("PORT", &port)).collect();
    let mut router = Router::new();
    for (index, target) in targets.iter().enumerate() {
        for status in [301_u16, 302, 303, 307, 308] {
            let target = target.clone();
            let status = StatusCode::from_u16(status).unwrap();
            router = router.route(
                &format!("/{}/{index}", status.as_u16()),
                any(async move || (status, [(header::LOCATION, target)])),
            );
        }
    }
    let (base, guard) = server(router).await;
    let client = Client::new(Guard { ports: vec![sentinel.port], ..guard }).unwrap();
    let mut attempts = 0;
    for (index, target) in targets.iter().enumerate() {
        for status in [301, 302, 303, 307, 308] {
            let request = get(&base, &format!("/{status}/{index}"));
            let error = client.send_following(request, |_| true).await.expect_err(target);
            attempts += 1;
            let refused = matches!(
                error,
                NetError::Address { .. }
                    | NetError::Host { .. }
                    | NetError::Credentials { .. }
                    | NetError::Port { .. }
                    | NetError::RedirectUnreadable { .. }
                    | NetError::Scheme { .. }
            );
            assert!(refused, "{target}: {error}");
        }
    }
    assert_eq!(sentinel.knocks().await, 0);
    println!("{} detours, {attempts} redirects, 0 connections", targets.len());
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

    let client = Client::new(Guard { max_redirects: 0, ..client.guard().clone() }).unwrap();
    for (path, location) in [("/home", "/landed"), ("/loop", "/loop")] {
        let answer = client.send(get(&base, path)).await.unwrap();
        assert_eq!((answer.status, answer.url.path()), (307, path));
        assert_eq!(answer.headers["location"], location);
    }
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
    let client = Client::new(Guard { max_body: 10_000, max_goods: 20_000, ..guard }).unwrap();
    assert_eq!(client.send(get(&base, "/exact")).await.unwrap().body.len(), 10_000);
    for path in ["/announced", "/unannounced", "/endless"] {
        let error = client.send(get(&base, path)).await.unwrap_err();
        assert!(matches!(error, NetError::TooLong { limit: 10_000, .. }), "{path}: {error}");
    }
    let paid = |path| {
        let mut request = get(&base, path);
        request.headers.insert("payment-signature", "signed".parse().unwrap());
        request
    };
    for (path, length) in [("/announced", 10_001), ("/unannounced", 12_288)] {
        assert_eq!(client.send(paid(path)).await.unwrap().body.len(), length, "what is paid for");
    }
    let error = client.send(paid("/endless")).await.unwrap_err();
    assert!(matches!(error, NetError::TooLong { limit: 20_000, .. }), "{error}");
}

/// What `bytes` are as gzip.
async fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = async_compression::tokio::write::GzipEncoder::new(Vec::new());
    tokio::io::AsyncWriteExt::write_all(&mut encoder, bytes).await.unwrap();
    tokio::io::AsyncWriteExt::shutdown(&mut encoder).await.unwrap();
    encoder.into_inner()
}

#[tokio::test]
async fn a_compressed_answer_is_unpacked_and_a_bomb_does_not_go_off() {
    let packed = |body: Vec<u8>, coding: &'static str| {
        any(async move || ([(header::CONTENT_ENCODING, coding)], body).into_response())
    };
    let bomb = gzip(&vec![0; 10 << 20]).await;
    assert!(bomb.len() < 20_000);
    let router = Router::new()
        .route("/wind", packed(gzip(b"wind").await, "gzip"))
        .route("/bomb", packed(bomb, "gzip"))
        .route("/lie", packed(b"wind".to_vec(), "gzip"))
        .route("/twice", packed(gzip(b"wind").await, "gzip, gzip"))
        .route("/odd", packed(gzip(b"wind").await, "compress"));
    let (base, guard) = server(router).await;
    let client = Client::new(Guard { max_body: 1 << 20, ..guard }).unwrap();
    let wind = client.send(get(&base, "/wind")).await.unwrap();
    assert_eq!(wind.body, b"wind");
    assert!(!wind.headers.contains_key(header::CONTENT_ENCODING));
    let error = client.send(get(&base, "/bomb")).await.unwrap_err();
    assert!(matches!(error, NetError::TooLong { limit: 1_048_576, .. }), "{error}");
    assert!(matches!(client.send(get(&base, "/lie")).await, Err(NetError::Garbled { .. })));
    for path in ["/twice", "/odd"] {
        assert!(matches!(client.send(get(&base, path)).await, Err(NetError::Encoded { .. })));
    }
}

#[tokio::test]
async fn an_answer_that_is_too_slow_is_not_taken() {
    let drip = || {
        let drops = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![7_u8]));
        let slowly = drops.then(async |drop| {
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop
        });
        Body::from_stream(slowly.boxed())
    };
    let router = Router::new()
        .route(
            "/asked",
            any(async |headers: HeaderMap| {
                headers
                    .get(header::ACCEPT_ENCODING)
                    .map(|value| value.as_bytes().to_vec())
                    .unwrap_or_default()
            }),
        )
        .route("/drip", any(async move || drip()))
        .route("/slow", any(async || tokio::time::sleep(Duration::from_secs(60)).await));
    let (base, guard) = server(router).await;
    let patient = Client::new(guard.clone()).unwrap();
    let client = Client::new(Guard { timeout: Duration::from_millis(300), ..guard }).unwrap();
    assert_eq!(patient.send(get(&base, "/asked")).await.unwrap().body, b"gzip, br, zstd");
    for path in ["/slow", "/drip"] {
        assert!(matches!(client.send(get(&base, path)).await, Err(NetError::Timeout { .. })));
    }
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

#[tokio::test]
async fn a_long_answer_is_taken_piece_by_piece_and_not_unpacked() {
    let long = vec![7_u8; 5 << 20];
    let packed = |headers: HeaderMap| async move {
        assert_eq!(headers[header::ACCEPT_ENCODING], "identity");
        ([(header::CONTENT_ENCODING, "gzip")], "x")
    };
    let app = Router::new()
        .route("/long", any(move || async move { long }))
        .route("/packed", any(packed))
        .route(
            "/stalls",
            any(|| async {
                let first = futures::stream::iter([Ok::<_, std::io::Error>("begins")]);
                Body::from_stream(first.chain(futures::stream::pending()))
            }),
        )
        .route("/away", any(|| async { Redirect::temporary("http://127.0.0.2:1/") }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let timeout = Duration::from_secs(3);
    let client = Client::new(Guard { timeout, ..Guard::naming([host.as_str()]) }).unwrap();
    let open = async |path: &str| {
        let url = Url::parse(&format!("http://{host}{path}")).unwrap();
        client.open(Request::get(url), |_| true).await
    };

    // Longer than the cap for whole answers.
    let mut stream = open("/long").await.unwrap();
    assert_eq!((stream.status, stream.length()), (200, Some(5 << 20)));
    let mut taken = 0;
    while let Some(piece) = stream.piece().await.unwrap() {
        taken += piece.as_ref().len();
    }
    assert_eq!(taken, 5 << 20);

    assert!(matches!(open("/packed").await, Err(NetError::Encoded { .. })));
    // Where every host is allowed, the guard still is.
    assert!(matches!(open("/away").await, Err(NetError::Address { .. })));
    let mut stream = open("/stalls").await.unwrap();
    assert_eq!(stream.piece().await.unwrap().unwrap().as_ref(), b"begins");
    assert!(matches!(stream.piece().await.map(drop), Err(NetError::Timeout { .. })));
}
