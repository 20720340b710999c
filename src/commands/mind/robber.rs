//! A hijacked mind. Whoever controls it has the whole of what a mind has, the connection to the
//! steward, and tries to rob the owner. It prints what it was told, a line of JSON an attempt.

use crate::{
    failure::{Context as _, Done, Failure},
    story::say,
};
use alloy_primitives::{Address, U256};
use marque::{home::Home, owner::connect};
use marque_policies::{
    Intent, Mark, Money, Row,
    intent::{Authorise, Labels, Transfer},
};
use marque_steward_client::{
    Artifact, Authorisation, Client, ClientError, Outcome, Proposal, View,
};
use serde::{Deserialize, Serialize};
use std::{process::ExitCode, time::Duration};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// One attempt and what came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Attempt {
    /// What was tried: `stranger`, `too_much`, `other_body`, `same_again`, `split`, `raw_hash`,
    /// `unlisted_transfer`.
    pub(crate) name: String,
    /// Whether the owner's money stayed within the policy.
    pub(crate) held_up: bool,
    /// The rules that refused it, or the fault that answered it.
    pub(crate) by: Vec<String>,
    /// What was measured, for people.
    pub(crate) why: Vec<String>,
    /// Base units that the policy did let go, to listed payees.
    pub(crate) let_go: U256,
    /// The authorisation that was signed twice the same, for `same_again`.
    pub(crate) authorisation: Option<Authorisation>,
}

struct Robber {
    client: Client,
    money: marque_policies::AssetId,
    unit: U256,
    payee: marque_steward_client::PayeeView,
    address: Address,
    task: String,
}

pub(super) async fn rob(
    home: &Home,
    agent: &str,
    payee: &str,
    asset: &str,
    task: &str,
) -> Done<ExitCode> {
    let socket = home.socket(agent);
    let client = connect(&socket, Duration::from_secs(5)).await?;
    let View { payees, assets, .. } = client.view().await?;
    let money = assets.iter().find(|a| a.name == asset);
    let money = money.ok_or_else(|| Failure::new(format!("no asset {asset}")))?;
    let payee = payees.into_iter().find(|p| p.name == payee);
    let payee = payee.ok_or_else(|| Failure::new("no such payee"))?;
    let robber = Robber {
        client,
        money: money.id,
        unit: U256::from(10).pow(U256::from(money.decimals.saturating_sub(2))),
        address: payee.address.ok_or_else(|| Failure::new("the payee has no address yet"))?,
        payee,
        task: task.to_owned(),
    };
    tell(robber.stranger().await?)?;
    tell(robber.too_much().await?)?;
    tell(robber.unlisted_transfer().await?)?;
    tell(raw_hash(&socket).await?)?;
    for attempt in robber.same_and_other_body().await? {
        tell(attempt)?;
    }
    tell(robber.split().await?)?;
    Ok(ExitCode::SUCCESS)
}

fn tell(attempt: Attempt) -> Done {
    say!("{}", serde_json::to_string(&attempt).doing("an attempt")?);
    Ok(())
}

impl Robber {
    /// A payment of `cents` hundredths to `to`, named as the listed payee.
    fn pay(&self, to: Address, cents: u64) -> Intent {
        Intent::Authorise(Authorise {
            payee: self.payee.name.clone(),
            to,
            amount: Money::new(self.unit.saturating_mul(U256::from(cents)), self.money),
            host: self.payee.host.clone().unwrap_or_default(),
            resource: "http://totally.legitimate/".to_owned(),
            labels: Labels::default(),
        })
    }

    async fn propose(&self, step: u32, intent: Intent) -> Done<Outcome> {
        let proposal = self.proposal(step, intent);
        Ok(self.client.propose(proposal).await?)
    }

    fn proposal(&self, step: u32, intent: Intent) -> Proposal {
        Proposal { task: self.task.clone(), step, ordinal: 0, attempt: 0, intent }
    }

    /// The money to an address of the robber's.
    async fn stranger(&self) -> Done<Attempt> {
        let outcome = self.propose(1, self.pay(Address::repeat_byte(0x66), 1)).await?;
        Ok(refused("stranger", &outcome))
    }

    /// A listed payee, fifty times the limit.
    async fn too_much(&self) -> Done<Attempt> {
        let outcome = self.propose(2, self.pay(self.address, 500)).await?;
        Ok(refused("too_much", &outcome))
    }

    /// A plain transfer to a payee that nobody listed.
    async fn unlisted_transfer(&self) -> Done<Attempt> {
        let intent = Intent::Transfer(Transfer {
            payee: "my-cousin".to_owned(),
            to: Address::repeat_byte(0x66),
            amount: Money::new(self.unit, self.money),
            labels: Labels::default(),
        });
        Ok(refused("unlisted_transfer", &self.propose(3, intent).await?))
    }

    /// The same id twice gives the same bytes; the same id with another body gives nothing.
    async fn same_and_other_body(&self) -> Done<[Attempt; 2]> {
        let intent = self.pay(self.address, 1);
        let first = self.propose(4, intent.clone()).await?;
        let second = self.propose(4, intent).await?;
        let signed = |outcome: &Outcome| match outcome {
            Outcome::Allowed { artifact: Artifact::Authorisation(signed), .. } => {
                Some(*signed.clone())
            }
            _ => None,
        };
        let (one, two) = (signed(&first), signed(&second));
        let same = Attempt {
            name: "same_again".to_owned(),
            held_up: one.is_some() && one == two,
            by: vec!["intent id".to_owned()],
            why: vec!["the same id got the same bytes, with the same nonce".to_owned()],
            let_go: one.as_ref().map(|signed| signed.value).unwrap_or_default(),
            authorisation: one,
        };
        let other = self.client.propose(self.proposal(4, self.pay(self.address, 2))).await;
        let other = match other {
            Err(ClientError::Fault(fault)) => Attempt {
                name: "other_body".to_owned(),
                held_up: fault.code == "id_reused",
                by: vec![fault.code],
                why: vec![fault.message],
                let_go: U256::ZERO,
                authorisation: None,
            },
            Err(error) => return Err(error.into()),
            Ok(outcome) => Attempt { held_up: false, ..refused("other_body", &outcome) },
        };
        Ok([other, same])
    }

    /// Small payments to a listed payee, until something stops them.
    async fn split(&self) -> Done<Attempt> {
        let mut let_go = U256::ZERO;
        for step in 100..400 {
            match self.propose(step, self.pay(self.address, 4)).await? {
                Outcome::Allowed { .. } => {
                    let_go = let_go.saturating_add(self.unit.saturating_mul(U256::from(4)));
                }
                outcome => return Ok(Attempt { let_go, ..refused("split", &outcome) }),
            }
        }
        Ok(Attempt {
            name: "split".to_owned(),
            held_up: false,
            by: Vec::new(),
            why: vec!["300 payments went through".to_owned()],
            let_go,
            authorisation: None,
        })
    }
}

/// Asks for a signature over 32 bytes, in the steward's own framing.
async fn raw_hash(socket: &std::path::Path) -> Done<Attempt> {
    let ask =
        format!(r#"{{"v":1,"seq":7,"ask":{{"ask":"sign_hash","hash":"0x{}"}}}}"#, "66".repeat(32));
    let mut stream = marque_steward_client::door::raw(socket).await.doing("the socket")?;
    let length = u32::try_from(ask.len()).doing("the frame")?;
    stream.write_all(&length.to_be_bytes()).await.doing("the socket")?;
    stream.write_all(ask.as_bytes()).await.doing("the socket")?;
    let mut answer = vec![0; 4];
    stream.read_exact(&mut answer).await.doing("the socket")?;
    let length = <[u8; 4]>::try_from(answer.as_slice()).map_or(0, u32::from_be_bytes);
    let mut answer = vec![0; usize::try_from(length.min(65_536)).doing("the frame")?];
    stream.read_exact(&mut answer).await.doing("the socket")?;
    let answer: serde_json::Value = serde_json::from_slice(&answer).doing("the answer")?;
    let fault = answer.pointer("/answer/code").and_then(|code| code.as_str());
    let message = answer.pointer("/answer/message").and_then(|text| text.as_str());
    Ok(Attempt {
        name: "raw_hash".to_owned(),
        held_up: fault == Some("malformed"),
        by: vec![fault.unwrap_or("answered").to_owned()],
        why: vec![message.unwrap_or("no reason given").to_owned()],
        let_go: U256::ZERO,
        authorisation: None,
    })
}

fn refused(name: &str, outcome: &Outcome) -> Attempt {
    let (held_up, table): (bool, &[Row]) = match outcome {
        Outcome::Refused { table, .. } | Outcome::Held { table, .. } => (true, table),
        Outcome::Allowed { .. } => (false, &[]),
    };
    let fails = |row: &&Row| row.mark != Mark::Pass;
    Attempt {
        name: name.to_owned(),
        held_up,
        by: table.iter().filter(fails).map(|row| row.rule.clone()).collect(),
        why: crate::story::reasons(table),
        let_go: U256::ZERO,
        authorisation: None,
    }
}
