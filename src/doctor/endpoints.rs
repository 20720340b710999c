//! The RPC endpoints of one chain, each by itself and all together.

use super::{Examination, Finding};
use marque_identity::{Block, BlockTag, IdentityError, Rpc};
use marque_policies::{
    Policy,
    document::{Chain, Finality},
};
use std::time::{Duration, Instant, SystemTime};

/// A start reads so many blocks' logs at a time where a node does not give more.
const LOGS: u64 = 10_000;

/// A newest block older than this is old.
const OLD: Duration = Duration::from_secs(60);

/// An answer that takes longer makes every payment slow.
const SLOW: Duration = Duration::from_millis(800);

/// Blocks by which two endpoints may be apart.
const APART: u64 = 5;

/// What one endpoint said.
struct Said {
    host: String,
    rpc: Rpc,
    head: Block,
}

/// Looks at each, and compares them; answers one that serves the right chain.
pub(super) async fn look(
    of: &Examination<'_>,
    name: &str,
    chain: &Chain,
    rpc: &Rpc,
    tell: &mut impl FnMut(Finding),
) -> Option<Rpc> {
    let hosts: Vec<String> = rpc.hosts().map(str::to_owned).collect();
    let mut said = Vec::new();
    for (host, rpc) in hosts.iter().zip(rpc.each()) {
        let subject = format!("{name} {host}");
        match one(of, &subject, chain, &rpc, tell).await {
            Ok(Some(head)) => said.push(Said { host: host.clone(), rpc, head }),
            Ok(None) => {}
            Err(error) => {
                let mend = format!(
                    "see that it runs and may be reached from here, or name another in [chain.{name}]"
                );
                tell(Finding::wrong(&subject, error.to_string(), mend));
            }
        }
    }
    together(name, chain, &hosts, &said, tell).await;
    said.into_iter().next().map(|said| said.rpc)
}

/// One endpoint: `None` where it serves another chain.
async fn one(
    of: &Examination<'_>,
    subject: &str,
    chain: &Chain,
    rpc: &Rpc,
    tell: &mut impl FnMut(Finding),
) -> Result<Option<Block>, IdentityError> {
    let id = rpc.chain_id().await?;
    if id != chain.id {
        let found = format!("it serves chain {id}, and the policy says {}", chain.id);
        tell(Finding::wrong(subject, found, "name an endpoint of the right chain, or mend its id"));
        return Ok(None);
    }
    let mut times = Vec::new();
    for _ in 0..3 {
        let begun = Instant::now();
        rpc.block_number().await?;
        times.push(begun.elapsed());
    }
    times.sort();
    let head = rpc.block(BlockTag::Latest).await?;
    let median = times.get(1).copied().unwrap_or_default();
    let found = format!("chain {id}, block {}, answers in {} ms", head.number, median.as_millis());
    tell(match median > SLOW {
        true => Finding::odd(
            subject,
            found,
            "name a nearer endpoint first: each payment asks several times",
        ),
        false => Finding::good(subject, found),
    });
    if rpc.syncing().await? {
        let mend = "wait until the node has caught up; until then name another";
        tell(Finding::wrong(subject, "it is still catching up with its chain", mend));
    }
    let age = age(head);
    if age > OLD {
        let found = format!("its newest block is {} s old", age.as_secs());
        let mend = "a chain that stands still settles nothing; ask another endpoint, and look at this machine's clock";
        tell(Finding::odd(subject, found, mend));
    }
    finality(subject, chain, rpc, head, tell).await?;
    fees(subject, rpc, tell).await?;
    history(of.policy, subject, chain, rpc, head, tell).await?;
    if let Some((begun, genesis)) = of.genesis
        && begun == id
    {
        let found = rpc.genesis_hash().await?;
        if found != genesis {
            let mend = "a development chain that was reset wants a new home; on a public chain the endpoint lies";
            let found =
                format!("its first block is {found}, and the owner's genesis names {genesis}");
            tell(Finding::wrong(subject, found, mend));
        }
    }
    Ok(Some(head))
}

async fn finality(
    subject: &str,
    chain: &Chain,
    rpc: &Rpc,
    head: Block,
    tell: &mut impl FnMut(Finding),
) -> Result<(), IdentityError> {
    let (word, tag) = match chain.finality {
        Finality::Safe => ("safe", BlockTag::Safe),
        Finality::Finalized => ("finalized", BlockTag::Finalized),
        Finality::Confirmations(_) => return Ok(()),
    };
    match rpc.block(tag).await {
        Ok(block) => {
            let behind = head.number.saturating_sub(block.number);
            let seconds = head.timestamp.saturating_sub(block.timestamp);
            let found = format!("\"{word}\" is {behind} blocks ({seconds} s) behind the newest");
            tell(Finding::good(subject, found));
            Ok(())
        }
        Err(error @ IdentityError::Unreachable { .. }) => Err(error),
        Err(error) => {
            let found = format!("it does not know the tag \"{word}\": {error}");
            let mend = "name an endpoint that does, or write finality as a number of blocks";
            tell(Finding::wrong(subject, found, mend));
            Ok(())
        }
    }
}

async fn fees(
    subject: &str,
    rpc: &Rpc,
    tell: &mut impl FnMut(Finding),
) -> Result<(), IdentityError> {
    match rpc.fees().await {
        Ok(_) => Ok(()),
        Err(error @ IdentityError::Unreachable { .. }) => Err(error),
        Err(error) => {
            let mend =
                "transactions are of type 2 (EIP-1559): this chain, or this endpoint, will not do";
            tell(Finding::wrong(subject, error.to_string(), mend));
            Ok(())
        }
    }
}

/// Logs of many blocks, and the state of a block that just became final.
async fn history(
    policy: &Policy,
    subject: &str,
    chain: &Chain,
    rpc: &Rpc,
    head: Block,
    tell: &mut impl FnMut(Finding),
) -> Result<(), IdentityError> {
    let token =
        policy.assets.values().find(|asset| asset.id.chain == chain.id && !asset.id.is_native());
    let Some(token) = token.map(|asset| asset.id.token) else { return Ok(()) };
    match rpc.logs_over(token, LOGS).await {
        Ok(()) => {}
        Err(error @ IdentityError::Unreachable { .. }) => return Err(error),
        Err(error) => {
            let found = format!("it gives no logs of {LOGS} blocks at once: {error}");
            let mend = "a steward that was away for long cannot compare its ledger there; name an endpoint that gives them";
            tell(Finding::wrong(subject, found, mend));
        }
    }
    let back = match chain.finality {
        Finality::Confirmations(blocks) => head.number.saturating_sub(blocks),
        Finality::Safe => rpc.block(BlockTag::Safe).await.map_or(head.number, |block| block.number),
        Finality::Finalized => {
            rpc.block(BlockTag::Finalized).await.map_or(head.number, |block| block.number)
        }
    };
    match rpc.state_at(token, back).await {
        Ok(()) => Ok(()),
        Err(error @ IdentityError::Unreachable { .. }) => Err(error),
        Err(error) => {
            let found = format!("it has forgotten the state of block {back}: {error}");
            let mend = "payments that nobody settles could not be released; name an endpoint that keeps final states";
            tell(Finding::wrong(subject, found, mend));
            Ok(())
        }
    }
}

/// Whether the endpoints are of one mind.
async fn together(
    name: &str,
    chain: &Chain,
    hosts: &[String],
    said: &[Said],
    tell: &mut impl FnMut(Finding),
) {
    let mut one_each: Vec<&String> = hosts.iter().collect();
    one_each.sort();
    one_each.dedup();
    if one_each.len() < hosts.len() {
        let mend =
            "one that lies twice is no second witness; name endpoints of different operators";
        tell(Finding::odd(name, "two endpoints have the same host", mend));
    }
    if hosts.len() < 2 && !super::is_devnet(chain) {
        let found = "it has one endpoint, which alone says when money comes free again";
        let mend = format!("name a second one, of another operator, in [chain.{name}] rpc");
        tell(Finding::odd(name, found, mend));
    }
    let [first, others @ ..] = said else { return };
    if others.is_empty() {
        return;
    }
    let heads = || said.iter().map(|said| said.head.number);
    let (low, high) = (heads().min().unwrap_or(0), heads().max().unwrap_or(0));
    if high - low > APART {
        let found = format!("its endpoints are {} blocks apart ({low} and {high})", high - low);
        tell(Finding::odd(
            name,
            found,
            "the one behind holds up every release; name a fresher one",
        ));
    }
    let common = BlockTag::Number(low.saturating_sub(APART));
    let Ok(wanted) = first.rpc.block(common).await else { return };
    for other in others {
        let Ok(block) = other.rpc.block(common).await else { continue };
        if block.hash != wanted.hash {
            let found = format!(
                "{} and {} have different blocks {}: {} and {}",
                first.host, other.host, block.number, wanted.hash, block.hash
            );
            let mend = "one of them lies or is on a fork; do not pay before you know which";
            tell(Finding::wrong(name, found, mend));
            return;
        }
    }
    let found = format!("{} endpoints agree on block {}", said.len(), wanted.number);
    tell(Finding::good(name, found));
}

fn age(block: Block) -> Duration {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    now.saturating_sub(Duration::from_secs(block.timestamp))
}
