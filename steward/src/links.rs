//! Whom a steward asks about the chain: the endpoints that each agent's signed policy names.

use crate::error::StewardError;
use alloy_primitives::B256;
use marque_identity::{Block, BlockTag, Rpc};
use marque_policies::{Policy, document::Finality};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::Mutex as AskedOnce;

/// What the chain said is good for so long.
const HEARD: Duration = Duration::from_millis(250);

/// The endpoints of one policy.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) rpc: Rpc,
    finality: Finality,
    /// What the witnesses said a moment ago: thousands of questions in a pass need it, and one of
    /// them asks for all.
    heard: Arc<AskedOnce<Option<(Instant, Witnesses)>>>,
    /// The newest block as heard a moment ago; one of many proposals asks for all.
    newest: Arc<AskedOnce<Option<(Instant, Block)>>>,
}

/// Endpoints by themselves, each with the newest block that cannot be taken back, as it says.
pub(crate) type Witnesses = Vec<(Rpc, Block)>;

/// All links, by the hash of their policy.
#[derive(Debug, Default)]
pub(crate) struct Links(Mutex<BTreeMap<B256, Link>>);

impl Links {
    /// The link of a policy to `chain`.
    pub(crate) fn get(&self, policy: &Policy, chain: u64) -> Result<Link, StewardError> {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = links.get(&policy.hash) {
            return Ok(link.clone());
        }
        let known = policy.chain(chain).ok_or_else(|| {
            StewardError::Chain(format!("the policy has no chain with id eip155:{chain}"))
        })?;
        let rpc = Rpc::new(&known.rpc).map_err(chain_error)?;
        let link =
            Link { rpc, finality: known.finality, heard: Arc::default(), newest: Arc::default() };
        links.insert(policy.hash, link.clone());
        Ok(link)
    }
}

impl Link {
    /// The newest block. May be a moment old: what is signed then lapses that much sooner.
    pub(crate) async fn newest(&self) -> Result<Block, StewardError> {
        let mut newest = self.newest.lock().await;
        if let Some((at, block)) = *newest
            && at.elapsed() < HEARD
        {
            return Ok(block);
        }
        let asked = Instant::now();
        let block = self.rpc.block(BlockTag::Latest).await.map_err(chain_error)?;
        *newest = Some((asked, block));
        Ok(block)
    }

    /// The newest block that cannot be taken back, by the policy's rule, as one endpoint says.
    async fn final_block_by(&self, rpc: &Rpc) -> Result<Block, StewardError> {
        let tag = match self.finality {
            Finality::Safe => BlockTag::Safe,
            Finality::Finalized => BlockTag::Finalized,
            Finality::Confirmations(on_top) => {
                let newest = rpc.block_number().await.map_err(chain_error)?;
                BlockTag::Number(newest.saturating_sub(on_top))
            }
        };
        rpc.block(tag).await.map_err(chain_error)
    }

    /// The final blocks of the first two endpoints by themselves: what is released, and what settles
    /// for good, needs both. May be a moment old: then less is final than is.
    pub(crate) async fn witnesses(&self) -> Result<Witnesses, StewardError> {
        let mut heard = self.heard.lock().await;
        if let Some((at, witnesses)) = &*heard
            && at.elapsed() < HEARD
        {
            return Ok(witnesses.clone());
        }
        let asked = Instant::now();
        let mut witnesses = Vec::new();
        for rpc in self.rpc.each().take(2) {
            let block = self.final_block_by(&rpc).await?;
            witnesses.push((rpc, block));
        }
        *heard = Some((asked, witnesses.clone()));
        Ok(witnesses)
    }
}

/// What the chain's client says, as our error.
pub(crate) fn chain_error(error: impl std::fmt::Display) -> StewardError {
    StewardError::Chain(error.to_string())
}
