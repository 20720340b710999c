//! The guarded HTTP client for everything outside.
//!
//! Pages, peers and sellers are reached through [`Client`] and through nothing else. Whoever
//! writes a URL may be hostile, so a URL is only ever a wish: the [`Guard`] says which hosts, ports
//! and addresses may be reached, how long an answer may take and how long it may be.
//!
//! - `https` only. The one exception is a loopback `host:port` that the policy names.
//! - No private, link-local, shared, multicast, translated or metadata address is ever connected
//!   to, whether it is written in the URL, in any of the spellings that a URL allows, or comes as
//!   the answer to a name. The check sits in the resolver, so a name cannot change its mind between
//!   check and use.
//! - No proxy, no cookies, no automatic redirects. [`Client::send`] follows a redirect only on the
//!   same host; a request that carries a payment is never sent twice.
//! - An answer is cut off at [`Guard::max_body`] while it streams in. gzip, brotli and zstd are
//!   unpacked; the cap counts what comes out, so that no bomb goes off. [`Client::open`] takes
//!   longer ones piece by piece, not unpacked, bounded by its caller.

pub mod address;
mod client;
mod decode;
mod error;
mod guard;
mod message;
pub mod redirect;
mod resolve;
mod stream;

pub use client::Client;
pub use error::NetError;
pub use guard::Guard;
pub use message::{Request, Response, bytes_out, host_port};
pub use reqwest::{
    Method,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
pub use stream::Stream;
pub use url::Url;
