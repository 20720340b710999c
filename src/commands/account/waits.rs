//! What is waited for: a node behind others, and what the owner's key has sent before.

use crate::{commands::Shared, failure::Done, story::note};
use alloy_primitives::Address;
use marque_identity::Rpc;
use std::time::{Duration, Instant};

/// So long may one endpoint be behind another.
pub(super) const BEHIND: Duration = Duration::from_secs(15);

/// So long an earlier transaction of the key is waited for,
const EARLIER: Duration = Duration::from_secs(30);

/// and by what ends something, which then takes its place.
const BEFORE_AN_END: Duration = Duration::from_secs(15);

/// Time that is waited, by the clock: an endpoint that takes long to answer makes it no longer.
pub(super) struct Patience(Instant, Duration);

impl Patience {
    pub(super) fn of(most: Duration) -> Self {
        Self(Instant::now(), most)
    }

    /// Whether there is some left; then it is a moment later.
    pub(super) async fn lasts(&self) -> bool {
        let lasts = self.0.elapsed() < self.1;
        if lasts {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        lasts
    }
}

/// The number of the first transaction of a key that is in no block yet, where any endpoint knows of one.
pub(super) async fn first_pending(rpc: &Rpc, key: Address) -> Done<Option<u64>> {
    let (mut first, mut answered, mut failure) = (None::<u64>, false, None);
    let counts = |each: Rpc| async move {
        tokio::try_join!(each.transaction_count(key, false), each.transaction_count(key, true))
    };
    for (_, said) in rpc.all(counts).await {
        match said {
            Ok((mined, sent)) => {
                answered = true;
                let pending = (sent > mined).then_some(mined);
                first = first.into_iter().chain(pending).min();
            }
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        Some(error) if !answered => Err(error.into()),
        _ => Ok(first),
    }
}

/// Waits until no transaction of a key is on its way: one that was interrupted still ends, or deploys,
/// what would otherwise be done twice.
pub(super) async fn settled(shared: &Shared, rpc: &Rpc, key: Address) -> Done {
    let then = "then what this sends takes its place";
    if let Some(number) = pending_after(shared, rpc, key, (EARLIER, then)).await? {
        note(&format!(
            "transaction number {number} of {key} still is in no block; going on without it"
        ));
    }
    Ok(())
}

/// The same before what ends something, which waits behind nothing: what is still in no block then is
/// overtaken, and told as it is.
pub(super) async fn go_first(shared: &Shared, rpc: &Rpc, key: Address) -> Done {
    let then = "then this takes its place, at a higher fee";
    pending_after(shared, rpc, key, (BEFORE_AN_END, then)).await.map(drop)
}

/// The first transaction of a key that is in no block after so long.
async fn pending_after(
    shared: &Shared,
    rpc: &Rpc,
    key: Address,
    (most, then): (Duration, &str),
) -> Done<Option<u64>> {
    let (patience, mut said) = (Patience::of(most), shared.json);
    loop {
        let Some(number) = first_pending(rpc, key).await? else { return Ok(None) };
        if !std::mem::replace(&mut said, true) {
            anstream::eprintln!(
                "an earlier transaction of {key}, number {number}, is in no block yet: waiting {} s for it, \
                 {then} …",
                most.as_secs()
            );
        }
        if !patience.lasts().await {
            return Ok(Some(number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn time_is_waited_by_the_clock_however_long_an_answer_takes() {
        let patience = Patience::of(Duration::from_millis(900));
        let mut asked = 0;
        loop {
            asked += 1;
            tokio::time::sleep(Duration::from_millis(500)).await;
            if !patience.lasts().await {
                break;
            }
        }
        assert!(asked <= 2, "{asked} answers were waited for");
    }
}
