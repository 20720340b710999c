//! Names to addresses, with every answer judged.
//!
//! The connector is given what this resolver returns and asks nobody else, so there is no gap
//! between check and use in which a name could change its answer.

use crate::{Guard, NetError, address};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::{io, net::IpAddr, pin::Pin, sync::Arc};

/// The addresses of a name, as the system or a test knows them.
pub(crate) trait Lookup: Send + Sync + 'static {
    fn lookup(&self, host: String)
    -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;
}

/// The operating system's resolver.
pub(crate) struct System;

impl Lookup for System {
    fn lookup(
        &self,
        host: String,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            Ok(found.map(|socket| socket.ip()).collect())
        })
    }
}

/// A resolver that returns public addresses, or nothing.
pub(crate) struct Vetted {
    lookup: Arc<dyn Lookup>,
    localhost: bool,
}

impl Vetted {
    pub(crate) fn new(lookup: Arc<dyn Lookup>, guard: &Guard) -> Self {
        Self { lookup, localhost: guard.names_localhost() }
    }
}

impl Resolve for Vetted {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let lookup = Arc::clone(&self.lookup);
        let here = self.localhost && host.eq_ignore_ascii_case("localhost");
        Box::pin(async move {
            let found = lookup
                .lookup(host.clone())
                .await
                .map_err(|error| NetError::Lookup { host: host.clone(), why: error.to_string() })?;
            // One bad answer condemns the name: an honest host has no private address.
            let bad = found.iter().find_map(|&address| {
                let reserved = address::reserved(address)?;
                (!(here && address.is_loopback())).then_some((address, reserved))
            });
            if let Some((address, reserved)) = bad {
                return Err(NetError::Address { host, address, reserved }.into());
            }
            if found.is_empty() {
                return Err(NetError::Lookup { host, why: "it has none".to_owned() }.into());
            }
            let addresses: Addrs = Box::new(found.into_iter().map(|address| (address, 0).into()));
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(Vec<IpAddr>);

    impl Lookup for Fixed {
        fn lookup(
            &self,
            _: String,
        ) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> {
            let answer = self.0.clone();
            Box::pin(async move { Ok(answer) })
        }
    }

    async fn resolve(guard: &Guard, name: &str, answer: &[&str]) -> Result<usize, String> {
        let answer = answer.iter().map(|text| text.parse().unwrap()).collect();
        let vetted = Vetted::new(Arc::new(Fixed(answer)), guard);
        match vetted.resolve(name.parse().unwrap()).await {
            Ok(addresses) => Ok(addresses.count()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[tokio::test]
    async fn one_private_answer_condemns_the_name() {
        let guard = Guard::default();
        let honest = ["8.8.8.8", "2606:4700::1111"];
        assert_eq!(resolve(&guard, "a.example", &honest).await, Ok(2));
        for bad in ["127.0.0.1", "::1", "10.0.0.1", "::ffff:169.254.169.254", "fd00:ec2::254"] {
            let answer = resolve(&guard, "a.example", &["8.8.8.8", bad]).await;
            assert!(answer.is_err_and(|why| why.contains("only public addresses")), "{bad}");
        }
        assert!(resolve(&guard, "a.example", &[]).await.is_err());
    }

    #[tokio::test]
    async fn localhost_leads_here_only_where_the_policy_names_it() {
        assert!(resolve(&Guard::default(), "localhost", &["127.0.0.1"]).await.is_err());
        let guard = Guard::naming(["localhost:4021"]);
        assert_eq!(resolve(&guard, "localhost", &["127.0.0.1", "::1"]).await, Ok(2));
        assert!(resolve(&guard, "localhost", &["10.0.0.1"]).await.is_err());
        assert!(resolve(&guard, "evil.example", &["127.0.0.1"]).await.is_err());
    }
}
