//! What a facilitator says that it settles.

use super::Finding;
use marque_net::{Client, Guard, Request, host_port};
use marque_policies::Policy;
use serde::Deserialize;
use url::Url;

#[derive(Deserialize)]
struct Supported {
    kinds: Vec<Kind>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    x402_version: u64,
    scheme: String,
    network: String,
}

pub(super) async fn look(policy: &Policy, url: &Url, tell: &mut impl FnMut(Finding)) {
    let subject = format!("facilitator {}", host_port(url));
    let mut at = url.clone();
    at.set_path(&format!("{}/supported", url.path().trim_end_matches('/')));
    let supported = match ask(at).await {
        Ok(supported) => supported,
        Err(why) => {
            tell(Finding::wrong(
                &subject,
                why,
                "give the URL under which /supported is, and see that it runs",
            ));
            return;
        }
    };
    for (name, chain) in &policy.chains {
        let network = format!("eip155:{}", chain.id);
        let schemes: Vec<&str> = supported
            .kinds
            .iter()
            .filter(|kind| {
                kind.x402_version == 2 && (kind.network == network || kind.network == "eip155:*")
            })
            .map(|kind| kind.scheme.as_str())
            .filter(|scheme| matches!(*scheme, "exact" | "upto"))
            .collect();
        tell(match schemes.contains(&"exact") {
            true => {
                Finding::good(&subject, format!("it settles {} on {name}", schemes.join(" and ")))
            }
            false => Finding::wrong(
                &subject,
                format!("it settles no \"exact\" of x402 version 2 on {name} ({network})"),
                "choose another facilitator, or let the seller's own steward settle",
            ),
        });
    }
}

async fn ask(url: Url) -> Result<Supported, String> {
    // The person who typed the URL chose it; nothing that answers leads anywhere else.
    let loopback = vec![host_port(&url)];
    let ports = url.port().into_iter().collect();
    let guard = Guard { loopback, ports, max_redirects: 0, ..Guard::default() };
    let client = Client::new(guard).map_err(|error| error.to_string())?;
    let answer = client.send(Request::get(url)).await.map_err(|error| error.to_string())?;
    if !answer.is_success() {
        return Err(format!("/supported answers {}", answer.status));
    }
    serde_json::from_slice(&answer.body)
        .map_err(|error| format!("/supported answers something else: {error}"))
}
