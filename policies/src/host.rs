//! Hosts as people write them in a policy and as a request names them: `feed.example`,
//! `127.0.0.1:4021`, `[::1]:8080`, and in a tool's list also `*.gov`.
//!
//! A host that cannot be read matches nothing. A port must be equal; no port is not any port.
//! `*.gov` stands for one or more labels before `gov`, never for `gov` itself and never for an IP
//! address. Names are compared without regard to ASCII case; other scripts are written in punycode.

use crate::error::{PolicyError, Source};
use std::{
    net::{Ipv4Addr, Ipv6Addr},
    ops::Range,
};

/// Whether `host`, as a request names it, is one that `pattern`, as a policy writes it, stands for.
#[must_use]
pub fn matches(pattern: &str, host: &str) -> bool {
    let Some(host) = Host::read(host) else { return false };
    match pattern.strip_prefix("*.") {
        None => Host::read(pattern).is_some_and(|pattern| pattern == host),
        Some(base) => Host::read(base).is_some_and(|base| {
            let below = host.name.strip_suffix(&base.name).and_then(|left| left.strip_suffix('.'));
            base.port == host.port
                && !base.is_address()
                && !host.is_address()
                && below.is_some_and(|labels| !labels.is_empty())
        }),
    }
}

/// A name or IP address in lower case, and a port where one was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    name: String,
    port: Option<u16>,
}

impl Host {
    /// Reads `host[:port]`; `None` for anything else, such as a URL, a path or a user name.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, after) = rest.split_once(']')?;
                let address: Ipv6Addr = address.parse().ok()?;
                let port = if after.is_empty() { None } else { Some(after.strip_prefix(':')?) };
                (format!("[{address}]"), port)
            }
            None => match text.split_once(':') {
                Some((name, port)) => (name.to_ascii_lowercase(), Some(port)),
                None => (text.to_ascii_lowercase(), None),
            },
        };
        let port = match port {
            Some(port) if port.starts_with(|c: char| c.is_ascii_digit()) => {
                Some(port.parse::<u16>().ok()?)
            }
            Some(_) => return None,
            None => None,
        };
        let valid = name.starts_with('[') || is_name(&name);
        (valid && port != Some(0)).then_some(Self { name, port })
    }

    /// Reads what a document says is a host, in canonical form.
    pub(crate) fn read_from(
        source: Source<'_>,
        text: &str,
        span: &Range<usize>,
    ) -> Result<String, PolicyError> {
        Self::read(text).map(|host| host.text()).ok_or_else(|| {
            let message = format!("\"{}\" is no host", text.escape_debug());
            let help = "write host or host:port, without `https://` and path";
            source.meaning(span.clone(), message, help)
        })
    }

    /// Reads what a tool's list may hold: a host, or a host after `*.` that is no IP address.
    pub(crate) fn read_pattern(text: &str) -> Option<String> {
        match text.strip_prefix("*.") {
            None => Self::read(text).map(|host| host.text()),
            Some(base) => {
                let base = Self::read(base).filter(|base| !base.is_address())?;
                Some(format!("*.{}", base.text()))
            }
        }
    }

    /// The host as it is written in canonical form.
    pub(crate) fn text(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.name),
            None => self.name.clone(),
        }
    }

    /// Whether this is an IP address, or something that a resolver could take for one.
    fn is_address(&self) -> bool {
        let last = self.name.rsplit('.').next().unwrap_or_default();
        let numeric = last.starts_with("0x") || last.bytes().all(|b| b.is_ascii_digit());
        self.name.starts_with('[') || self.name.parse::<Ipv4Addr>().is_ok() || numeric
    }
}

/// DNS labels of letters, digits, `-` and `_`, or an IPv4 address.
fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    name.len() <= 253 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_plain_host_matches_itself_in_any_case_with_the_same_port() {
        assert!(matches("feed.example", "FEED.example"));
        assert!(matches("127.0.0.1:4021", "127.0.0.1:4021"));
        assert!(matches("[::1]:8080", "[0:0:0:0:0:0:0:1]:8080"));
        for host in ["feed.example:443", "a.feed.example", "feed.example.", "feed.example/x", ""] {
            assert!(!matches("feed.example", host), "{host}");
        }
        assert!(!matches("127.0.0.1:4021", "127.0.0.1"));
        assert!(!matches("127.0.0.1:4021", "127.0.0.1:04022"));
    }

    #[test]
    fn a_wildcard_stands_for_one_or_more_labels_and_never_for_the_base() {
        assert!(matches("*.gov", "weather.gov"));
        assert!(matches("*.gov", "a.b.weather.GOV"));
        assert!(matches("*.gov:8443", "weather.gov:8443"));
        for host in ["gov", ".gov", "notgov", "weather.gov:8443", "weather.gov.evil.example"] {
            assert!(!matches("*.gov", host), "{host}");
        }
    }

    #[test]
    fn a_wildcard_never_matches_an_ip_address() {
        for host in ["127.0.0.1", "10.0.0.1:80", "[::1]", "1.2.3.0x4", "a.1"] {
            for pattern in ["*.1", "*.0.0.1", "*.0x4", "*.3.0x4", "*.com"] {
                assert!(!matches(pattern, host), "{pattern} {host}");
            }
        }
    }

    #[test]
    fn what_is_no_host_matches_nothing() {
        for text in ["user@feed.example", "http://feed.example", "a b", "a..b", "a:0", "a:+1", "a:"]
        {
            assert!(!matches(text, text), "{text}");
            assert!(!matches("*.example", text), "{text}");
        }
    }
}
