//! What a facilitator says that it settles.

use super::Finding;
use marque_net::{Client, Guard, host_port};
use marque_payments::{Facilitator, facilitator::Supported};
use marque_policies::Policy;
use url::Url;

pub(super) async fn look(policy: &Policy, url: &Url, tell: &mut impl FnMut(Finding)) {
    let subject = format!("facilitator {}", host_port(url));
    let supported = match ask(url).await {
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
        let schemes: Vec<&str> = ["exact", "upto"]
            .into_iter()
            .filter(|scheme| supported.settles(scheme, &network))
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

async fn ask(url: &Url) -> Result<Supported, String> {
    // The person who typed the URL chose it; nothing that answers leads anywhere else.
    let loopback = vec![host_port(url)];
    let ports = url.port().into_iter().collect();
    let guard = Guard { loopback, ports, max_redirects: 0, ..Guard::default() };
    let client = Client::new(guard).map_err(|error| error.to_string())?;
    let supported = Facilitator::new(client, url.clone()).supported().await;
    supported.map_err(|error| error.to_string())
}
