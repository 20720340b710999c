//! What `marque facilitator` runs inside the fence: the three questions of x402, answered by way of
//! the steward.

use crate::{
    failure::{Context as _, Done, Failure},
    story::{detail, good, say},
};
use marque::{home::Home, owner::connect, process::stop_signal};
use marque_payments::facilitator::{Supported, router};
use std::{net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

pub(super) async fn facilitate(
    home: &Home,
    agent: &str,
    listen: SocketAddr,
    json: bool,
) -> Done<ExitCode> {
    let steward = connect(&home.socket(agent), Duration::from_secs(5)).await?;
    let view = steward.view().await?;
    let supported = Supported::of(&view);
    if supported.kinds.is_empty() {
        return Err(Failure::refused(format!("the policy of {agent} settles nothing for others"))
            .help(format!(
                "have its owner add [facilitator] with assets = [\"USDC\"], and [limits.gas], to \
                 policy.toml, and adopt it: marque policy adopt {agent}"
            )));
    }
    let listener = super::seller::open(listen).await?;
    let place = listener.local_addr().doing(listen)?;
    if json {
        let said = serde_json::json!({
            "event": "facilitating", "url": format!("http://{place}"), "agent": view.agent,
            "address": view.address, "supported": supported,
        });
        say!("{said}");
    } else {
        good(&format!("{} verifies and settles for others at http://{place}", view.agent));
        for kind in &supported.kinds {
            detail(&format!("{} on {}", kind.scheme, kind.network));
        }
        detail(&format!("signs and pays fees as {}", view.address));
        say!("\nCtrl-C ends it; what is being settled, the steward goes on with.");
    }
    let service = router(Arc::new(steward));
    axum::serve(listener, service).with_graceful_shutdown(stop_signal()).await.doing("the desk")?;
    Ok(ExitCode::SUCCESS)
}
