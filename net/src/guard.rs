//! What may be reached, and how much of it is taken.

use crate::{NetError, address, message::host_port};
use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};
use url::{Host, Url};

/// Ports of the public web that need no mention.
const WEB_PORTS: [u16; 3] = [80, 443, 8443];

/// Endings of names that never belong to the public internet (RFC 6761, RFC 6762, RFC 8375, and
/// what clouds and home routers use).
const PRIVATE_ENDINGS: [&str; 12] = [
    "alt",
    "arpa",
    "corp",
    "home",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "test",
];

/// The bounds of a [`crate::Client`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Loopback `host:port` pairs that the policy names, such as `127.0.0.1:4021`. Only these may be
    /// spoken to without TLS, and only these lead to this machine.
    pub loopback: Vec<String>,
    /// Ports that the policy names, besides 80, 443 and 8443.
    pub ports: Vec<u16>,
    /// The longest body that is accepted, in bytes.
    pub max_body: usize,
    /// The same where the request carries a payment: what is paid for is not thrown away lightly.
    pub max_goods: usize,
    /// How long one `send` may take, redirects and body included.
    pub timeout: Duration,
    /// How many redirects are followed. With none a 3xx answer is returned as it is.
    pub max_redirects: usize,
}

impl Default for Guard {
    /// No loopback, the web's ports, 2 MiB, 16 MiB for what is paid, 30 s, 5 redirects.
    fn default() -> Self {
        Self {
            loopback: Vec::new(),
            ports: Vec::new(),
            max_body: 2 * 1024 * 1024,
            max_goods: 16 * 1024 * 1024,
            timeout: Duration::from_secs(30),
            max_redirects: 5,
        }
    }
}

impl Guard {
    /// The default bounds, opened for what a policy's host list names beyond the public web:
    /// loopback `host:port` pairs, and unusual ports. Anything else in the list changes nothing.
    #[must_use]
    pub fn naming<'a>(hosts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut guard = Self::default();
        for host in hosts {
            if is_loopback_pair(host) {
                guard.loopback.push(host.to_owned());
            } else if let Some(port) = host.rsplit_once(':').and_then(|(_, port)| port.parse().ok())
            {
                guard.ports.push(port);
            }
        }
        guard
    }

    /// Whether `url` may be asked, as far as the URL alone can tell. Names are judged again when
    /// they are resolved.
    ///
    /// # Errors
    /// [`NetError::Scheme`], [`NetError::Credentials`], [`NetError::Host`], [`NetError::Address`]
    /// or [`NetError::Port`].
    pub fn vet(&self, url: &Url) -> Result<(), NetError> {
        let named = host_port(url);
        if !url.username().is_empty() || url.password().is_some() {
            return Err(NetError::Credentials { host: named });
        }
        let scheme = || NetError::Scheme { scheme: url.scheme().to_owned(), host: named.clone() };
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(scheme());
        };
        if matches!(url.scheme(), "http" | "https") && self.names_loopback(&host, port) {
            return Ok(());
        }
        vet_host(&host)?;
        if url.scheme() != "https" {
            return Err(scheme());
        }
        if !WEB_PORTS.contains(&port) && !self.ports.contains(&port) {
            return Err(NetError::Port { host: host.to_string(), port });
        }
        Ok(())
    }

    /// Every loopback entry must be one.
    pub(crate) fn vet_loopback(&self) -> Result<(), NetError> {
        match self.loopback.iter().find(|entry| !is_loopback_pair(entry)) {
            Some(entry) => Err(NetError::NotLoopback(entry.clone())),
            None => Ok(()),
        }
    }

    /// Whether the name `localhost` may lead to this machine: the ports are checked by [`Self::vet`].
    pub(crate) fn names_localhost(&self) -> bool {
        self.loopback.iter().any(|entry| {
            entry.rsplit_once(':').is_some_and(|(host, _)| host.eq_ignore_ascii_case("localhost"))
        })
    }

    fn names_loopback(&self, host: &Host<&str>, port: u16) -> bool {
        let written = format!("{host}:{port}");
        self.loopback
            .iter()
            .any(|entry| is_loopback_pair(entry) && entry.eq_ignore_ascii_case(&written))
    }
}

/// Whether `text` is `127.x.y.z:port`, `[::1]:port` or `localhost:port`, written plainly.
fn is_loopback_pair(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let loopback = host.eq_ignore_ascii_case("localhost")
        || host == "[::1]"
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback());
    loopback && port.parse::<u16>().is_ok_and(|port| port != 0)
}

/// Judges what stands in the URL. The URL parser has turned decimal, octal, hexadecimal, shortened
/// and full-width spellings into addresses by now.
fn vet_host(host: &Host<&str>) -> Result<(), NetError> {
    let address = match host {
        Host::Ipv4(address) => IpAddr::V4(*address),
        Host::Ipv6(address) => IpAddr::V6(*address),
        Host::Domain(name) => return vet_name(name),
    };
    match address::reserved(address) {
        Some(reserved) => Err(NetError::Address { host: host.to_string(), address, reserved }),
        None => Ok(()),
    }
}

fn vet_name(name: &str) -> Result<(), NetError> {
    let refuse = |why| Err(NetError::Host { host: name.to_owned(), why });
    if name.ends_with('.') {
        return refuse("leave out the dot at the end");
    }
    let Some((_, ending)) = name.rsplit_once('.') else {
        return refuse("a name without a dot belongs to a local network");
    };
    if PRIVATE_ENDINGS.contains(&ending) {
        return refuse("names with this ending belong to a local network");
    }
    if ending.bytes().all(|byte| byte.is_ascii_digit()) {
        return refuse("it looks like an address but is none");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vet(guard: &Guard, url: &str) -> Result<(), NetError> {
        guard.vet(&Url::parse(url).unwrap())
    }

    #[test]
    fn the_public_web_is_reachable_over_https_only() {
        let guard = Guard::default();
        assert_eq!(vet(&guard, "https://feed.example/data?x=1"), Ok(()));
        assert_eq!(vet(&guard, "https://feed.example:8443/"), Ok(()));
        assert_eq!(vet(&guard, "https://1.1.1.1/"), Ok(()));
        assert!(matches!(vet(&guard, "http://feed.example/"), Err(NetError::Scheme { .. })));
        assert!(matches!(vet(&guard, "ftp://feed.example/"), Err(NetError::Scheme { .. })));
        assert!(matches!(vet(&guard, "file:///etc/passwd"), Err(NetError::Scheme { .. })));
        assert!(matches!(vet(&guard, "https://feed.example:22/"), Err(NetError::Port { .. })));
    }

    #[test]
    fn a_policy_opens_exactly_the_loopback_ports_that_it_names() {
        let guard = Guard::naming(["127.0.0.1:4021", "*.gov", "feed.example:9000", "10.0.0.1:80"]);
        assert_eq!(guard.loopback, ["127.0.0.1:4021"]);
        assert_eq!(vet(&guard, "http://127.0.0.1:4021/x"), Ok(()));
        assert_eq!(vet(&guard, "https://feed.example:9000/"), Ok(()));
        assert!(vet(&guard, "http://127.0.0.1:4022/x").is_err());
        assert!(vet(&guard, "http://127.0.0.2:4021/x").is_err());
        assert!(vet(&guard, "http://localhost:4021/x").is_err());
        assert!(vet(&guard, "http://10.0.0.1/").is_err());
        assert!(vet(&guard, "ws://127.0.0.1:4021/x").is_err());
    }

    #[test]
    fn a_private_address_cannot_be_passed_off_as_loopback() {
        for entry in ["10.0.0.1:80", "127.0.0.1", "evil.example:80", "127.0.0.1:0", "127.1:80"] {
            let guard = Guard { loopback: vec![entry.to_owned()], ..Guard::default() };
            assert_eq!(guard.vet_loopback(), Err(NetError::NotLoopback(entry.to_owned())));
            assert!(vet(&guard, &format!("http://{entry}/")).is_err(), "{entry}");
        }
    }
}
