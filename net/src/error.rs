//! Everything that a request can come to grief on. Each message says what, and how to mend it.

use crate::address::Reserved;
use std::{net::IpAddr, time::Duration};

/// Why a request was not made, or its answer not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// Not `https`, and not a loopback host that the policy names.
    #[error(
        "{scheme}://{host} is not allowed; use https, or name the loopback host and port in the policy"
    )]
    Scheme {
        /// The scheme as written.
        scheme: String,
        /// The host as the policy would name it.
        host: String,
    },
    /// The URL carries a user name or a password.
    #[error("the URL for {host} carries a user name or password; send credentials in a header")]
    Credentials {
        /// The host.
        host: String,
    },
    /// A name that does not belong to the public internet.
    #[error("the host \"{host}\" is not allowed: {why}")]
    Host {
        /// The host as the URL parser normalised it.
        host: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// An address that does not belong to the public internet.
    #[error("{host} leads to {address}, {reserved}; only public addresses may be reached")]
    Address {
        /// The host as written.
        host: String,
        /// The address that it stands for.
        address: IpAddr,
        /// What kind of address that is.
        reserved: Reserved,
    },
    /// A port that neither the web nor the policy uses.
    #[error(
        "port {port} of {host} is not allowed; name \"{host}:{port}\" in the policy to reach it"
    )]
    Port {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// A loopback entry of the guard is not a loopback `host:port`.
    #[error("\"{0}\" is not a loopback host and port such as \"127.0.0.1:4021\"")]
    NotLoopback(String),
    /// A method that proxies and debuggers use.
    #[error("the method {0} is not allowed")]
    Method(String),
    /// A header that decides where a request goes or where its body ends.
    #[error("the header \"{0}\" is set by the client itself")]
    Header(String),
    /// The answer leads to another host, which nobody allowed.
    #[error("{from} redirects to {to}, another host; allow {to} in the policy and ask it directly")]
    RedirectElsewhere {
        /// The host that was asked.
        from: String,
        /// The host that it points to.
        to: String,
    },
    /// The redirect's target cannot be read.
    #[error("{from} redirects to something that is not a URL")]
    RedirectUnreadable {
        /// The host that was asked.
        from: String,
    },
    /// Too many redirects.
    #[error("gave up after {limit} redirects")]
    TooManyRedirects {
        /// The guard's limit.
        limit: usize,
    },
    /// The name has no address.
    #[error("cannot find the address of {host}: {why}")]
    Lookup {
        /// The host.
        host: String,
        /// The resolver's words.
        why: String,
    },
    /// No connection, or it broke.
    #[error("cannot reach {host}: {why}")]
    Transport {
        /// The host.
        host: String,
        /// The transport's words.
        why: String,
    },
    /// No complete answer in time.
    #[error("{host} did not answer within {} s", after.as_secs_f32())]
    Timeout {
        /// The host.
        host: String,
        /// The guard's limit.
        after: Duration,
    },
    /// The answer is longer than the guard allows.
    #[error("the answer of {host} is longer than {limit} bytes")]
    TooLong {
        /// The host.
        host: String,
        /// The guard's limit, in bytes.
        limit: usize,
    },
    /// The answer is compressed in a way that the request did not name.
    #[error("{host} answered in the encoding \"{encoding}\", which was not asked for")]
    Encoded {
        /// The host.
        host: String,
        /// `content-encoding`.
        encoding: String,
    },
    /// The answer is not what its encoding says, or ends too early.
    #[error("the answer of {host} cannot be decompressed: {why}")]
    Garbled {
        /// The host.
        host: String,
        /// The decoder's words.
        why: String,
    },
    /// The client cannot be set up.
    #[error("cannot set up the HTTP client: {0}")]
    Setup(String),
}
