//! What must be so at the end, asked of the chain and of the journals, not of the story.

use super::world::World;
use crate::{
    commands::mind::{Attempt, MindEvent},
    failure::{Done, Failure},
};
use alloy_primitives::{Address, U256};
use alloy_sol_types::SolCall as _;
use marque::{
    audit::{Expect, verify},
    economy::{DECIMALS, DOLLAR},
};
use marque_contracts::IERC3009Bytes;
use marque_policies::{IntentId, money::format_units};
use std::path::PathBuf;

/// One thing that must hold.
pub(super) struct Check {
    pub(super) holds: bool,
    pub(super) text: String,
}

/// Balances before, and the payments that the story claims.
pub(super) struct Proof {
    scout: U256,
    feed: U256,
    muscle: U256,
    paid: Vec<(IntentId, String, U256)>,
    replays: u32,
    robbed: U256,
}

impl Proof {
    pub(super) async fn begin(world: &World) -> Done<Self> {
        let [scout, feed, muscle] = balances(world).await?;
        Ok(Self { scout, feed, muscle, paid: Vec::new(), replays: 0, robbed: U256::ZERO })
    }

    /// Takes note of a payment that a mind reported.
    pub(super) fn expect(&mut self, event: MindEvent) {
        if let MindEvent::Paid { id, payee, units, .. } = event {
            self.paid.push((id, payee, units));
        }
    }

    /// The authorisation that the robber got twice is handed to the chain twice, by a stranger.
    pub(super) async fn robbery(&mut self, world: &World, attempts: &[Attempt]) -> Done {
        for signed in attempts.iter().filter_map(|attempt| attempt.authorisation.as_ref()) {
            for _ in 0..2 {
                let call = IERC3009Bytes::transferWithAuthorizationCall {
                    from: signed.from,
                    to: signed.to,
                    value: signed.value,
                    validAfter: U256::from(signed.valid_after),
                    validBefore: U256::from(signed.valid_before),
                    nonce: signed.nonce,
                    signature: signed.signature.clone(),
                };
                let data = call.abi_encode().into();
                if world.economy.devnet.send(world.economy.dollar, data).await.is_ok() {
                    self.replays += 1;
                    self.robbed += signed.value;
                }
            }
        }
        Ok(())
    }

    /// Asks the chain.
    pub(super) async fn finish(
        self,
        world: &World,
        attempts: &[Attempt],
        answered: bool,
        both_sold: bool,
    ) -> Done<Vec<Check>> {
        let show = |units| format!("{} {DOLLAR}", format_units(units, DECIMALS));
        let [scout, feed, muscle] = balances(world).await?;
        let sum = |name: &str| -> U256 {
            self.paid.iter().filter(|(_, payee, _)| payee == name).map(|(_, _, units)| units).sum()
        };
        let spent = self.scout.saturating_sub(scout);
        let claimed: U256 = self.paid.iter().map(|(_, _, units)| units).sum::<U256>() + self.robbed;
        let mut used = 0;
        for (id, _, _) in &self.paid {
            let rpc = &world.economy.rpc;
            let payer = world.scout.party.address;
            if rpc.authorization_state(world.economy.dollar, payer, id.nonce()).await? {
                used += 1;
            }
        }
        let stranger = world
            .economy
            .rpc
            .erc20_balance(world.economy.dollar, Address::repeat_byte(0x66))
            .await?;
        let view = world.scout.running.client.view().await?;
        let ledger = view
            .budgets
            .iter()
            .find(|budget| budget.rule == format!("limits.{DOLLAR}.total"))
            .ok_or_else(|| Failure::new("scout's policy has no total limit"))?
            .spent
            .units;
        let stopped = attempts.iter().filter(|attempt| attempt.held_up).count();
        // A goal of a person's own need not buy anything.
        let sales = !both_sold || (!sum("feed").is_zero() && !sum("muscle").is_zero());
        Ok(vec![
            Check { holds: answered, text: "every goal got a typed answer".to_owned() },
            Check {
                holds: sales && used == self.paid.len(),
                text: format!(
                    "{used} of {} purchases settled on chain, each under a nonce of its own",
                    self.paid.len()
                ),
            },
            Check {
                holds: feed.saturating_sub(self.feed) == sum("feed") + self.robbed
                    && muscle.saturating_sub(self.muscle) == sum("muscle"),
                text: format!(
                    "on chain feed received {} and muscle {}",
                    show(feed.saturating_sub(self.feed)),
                    show(muscle.saturating_sub(self.muscle))
                ),
            },
            Check {
                holds: spent == claimed,
                text: format!(
                    "on chain scout spent {}, to the unit what the story says",
                    show(spent)
                ),
            },
            Check {
                holds: self.replays == 1,
                text: "the same authorisation, handed to the chain twice, moved money once"
                    .to_owned(),
            },
            Check {
                holds: attempts.len() >= 7 && stopped == attempts.len() && stranger.is_zero(),
                text: format!(
                    "{stopped} of {} robberies stopped; the stranger has {}",
                    attempts.len(),
                    show(stranger)
                ),
            },
            Check {
                holds: ledger >= spent,
                text: format!("scout's ledger counts {}, never less than the chain", show(ledger)),
            },
        ])
    }
}

async fn balances(world: &World) -> Done<[U256; 3]> {
    let economy = &world.economy;
    let of = |address| economy.rpc.erc20_balance(economy.dollar, address);
    let (scout, feed, muscle) = tokio::try_join!(
        of(world.scout.party.address),
        of(world.feed.party.address),
        of(world.muscle.party.address),
    )?;
    Ok([scout, feed, muscle])
}

/// Verifies each journal from its files and its owner's address alone.
pub(super) fn journals(journals: &[(String, PathBuf, Address)]) -> Vec<Check> {
    journals
        .iter()
        .map(|(name, dir, owner)| {
            let expect = Expect { owner: Some(*owner), ..Expect::default() };
            match verify(dir, &expect) {
                Ok(report) => Check {
                    holds: true,
                    text: format!(
                        "journal of {name} verified offline: {} entries, root {}",
                        report.size,
                        crate::story::short(report.root)
                    ),
                },
                Err(error) => Check { holds: false, text: format!("journal of {name}: {error}") },
            }
        })
        .collect()
}
