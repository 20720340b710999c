//! A steward that fits into a test: it signs with a key and remembers by the real ids, and does
//! as it is told about everything that the real one decides.

use alloy_primitives::{Address, B256, Bytes, U256, address, keccak256};
use async_trait::async_trait;
use k256::ecdsa::SigningKey;
use marque_contracts::{Authorization, TokenDomain, eip3009_digest, permit2};
use marque_net::{Client, Guard};
use marque_payments::{
    Authority, PaymentError,
    x402::{Permit2Authorization, Permit2Witness, Permitted},
};
use marque_policies::{AssetId, Intent, IntentId, Mark, Money, Row, money::format_units};
use marque_steward_client::{
    Artifact, AssetView, Authorisation, Fault, Foreseen, IntentState, IntentView, Outcome,
    PayeeView, PayerView, PaymentState, Preview, Proposal, Report, Said, SettlingView,
    SignedPermit, View,
};
use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::net::TcpListener;
use url::Url;

pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const USDC: AssetId =
    AssetId { chain: 31_337, token: address!("0x5fbdb2315678afecb367f032d93f642f64180aa3") };
pub(crate) const EURC: AssetId =
    AssetId { chain: 31_337, token: address!("0x00000000000000000000000000000000000000e1") };
pub(crate) const STRANGER: Address = address!("0x00000000000000000000000000000000000bad01");

pub(crate) fn usdc(units: u64) -> Money {
    Money::new(U256::from(units), USDC)
}

#[derive(Clone, Debug)]
pub(crate) struct Key(SigningKey);

impl Key {
    pub(crate) fn new(seed: u8) -> Self {
        Self(SigningKey::from_slice(&[seed; 32]).unwrap())
    }

    pub(crate) fn address(&self) -> Address {
        let point = self.0.verifying_key().to_encoded_point(false);
        Address::from_raw_public_key(&point.as_bytes()[1..])
    }

    pub(crate) fn sign(&self, digest: B256) -> [u8; 65] {
        let (signature, recovery) = self.0.sign_prehash_recoverable(digest.as_slice()).unwrap();
        let mut bytes = [0; 65];
        bytes[..64].copy_from_slice(&signature.to_bytes());
        bytes[64] = 27 + recovery.to_byte();
        bytes
    }

    pub(crate) fn authorise(&self, asset: AssetId, authorization: &Authorization) -> Bytes {
        let domain = TokenDomain {
            name: "USD Coin".to_owned(),
            version: "2".to_owned(),
            chain: asset.chain,
            token: asset.token,
        };
        self.sign(eip3009_digest(&domain, authorization)).into()
    }
}

/// What the scripted steward decides.
#[derive(Clone, Debug, Default)]
pub(crate) enum Verdict {
    #[default]
    Allow,
    Hold,
    Refuse,
    Fault(&'static str),
    /// Allow, but sign this instead.
    Sign(Authorization),
}

#[derive(Debug)]
pub(crate) struct Steward {
    pub(crate) key: Key,
    pub(crate) view: Mutex<View>,
    pub(crate) verdict: Mutex<Verdict>,
    /// What becomes of a permit before it is signed.
    pub(crate) forge: Mutex<Option<fn(&mut Permit2Authorization)>>,
    /// What `wait` answers of an allowed settlement.
    pub(crate) state: Mutex<PaymentState>,
    pub(crate) proposals: Mutex<Vec<Proposal>>,
    pub(crate) reports: Mutex<Vec<Said>>,
    pub(crate) bodies: Mutex<HashMap<IntentId, B256>>,
    pub(crate) settlements: AtomicUsize,
    /// What Permit2 may move.
    pub(crate) allowance: Mutex<U256>,
    /// What the agent holds.
    pub(crate) balance: Mutex<U256>,
    /// What it says is under way; nothing where the steward cannot say.
    pub(crate) under_way: Mutex<Option<Vec<SettlingView>>>,
    /// What a preview answers; nothing where the steward cannot say.
    pub(crate) preview: Mutex<Option<(Foreseen, bool, Option<PayerView>)>>,
}

impl Steward {
    /// An agent called `name` that may pay `payee` at `host` and be paid in USDC.
    pub(crate) fn new(name: &str, seed: u8, payee: Address, host: &str) -> Self {
        let key = Key::new(seed);
        let asset = |name: &str, id| AssetView {
            name: name.to_owned(),
            id,
            decimals: 6,
            domain: Some(("USD Coin".to_owned(), "2".to_owned())),
        };
        let view = View {
            agent: name.to_owned(),
            address: key.address(),
            owner: Address::repeat_byte(9),
            sub_agent: None,
            owner_since: 0,
            origin: B256::repeat_byte(seed),
            policy_version: 1,
            policy_hash: B256::ZERO,
            now: NOW * 1000,
            frozen_at: None,
            tools: vec![],
            payees: vec![PayeeView {
                name: "feed".to_owned(),
                address: Some(payee),
                host: Some(host.to_owned()),
            }],
            assets: vec![
                asset("USDC", USDC),
                asset("EURC", EURC),
                AssetView {
                    name: "ETH".to_owned(),
                    id: AssetId::native(31_337),
                    decimals: 18,
                    domain: None,
                },
            ],
            budgets: vec![],
            income: vec![USDC],
            facilitates: vec![],
            pools: vec![],
            chains: vec![],
            intents: vec![],
        };
        Self {
            key,
            view: Mutex::new(view),
            verdict: Mutex::default(),
            forge: Mutex::default(),
            state: Mutex::new(PaymentState::Seen),
            proposals: Mutex::default(),
            reports: Mutex::default(),
            bodies: Mutex::default(),
            settlements: AtomicUsize::new(0),
            allowance: Mutex::default(),
            balance: Mutex::new(U256::from(5_000_000)),
            under_way: Mutex::default(),
            preview: Mutex::default(),
        }
    }

    /// Lists what was settled, as the real steward's view does.
    pub(crate) fn list(&self) {
        let mut view = self.view.lock().unwrap();
        let state = *self.state.lock().unwrap();
        let origin = view.origin;
        let agent = view.agent.clone();
        view.intents = self
            .proposed()
            .into_iter()
            .map(|proposal| IntentView {
                status: IntentState {
                    id: proposal.id(origin, &agent),
                    state,
                    transaction: None,
                    block: None,
                },
                sub_agent: None,
                task: proposal.task,
                body: proposal.intent.body_hash(),
                intent: proposal.intent,
                at: NOW * 1000,
            })
            .collect();
    }

    pub(crate) fn decide(&self, verdict: Verdict) {
        *self.verdict.lock().unwrap() = verdict;
    }

    pub(crate) fn proposed(&self) -> Vec<Proposal> {
        self.proposals.lock().unwrap().clone()
    }

    pub(crate) fn reported(&self) -> Vec<Said> {
        self.reports.lock().unwrap().clone()
    }

    fn allow(&self, id: IntentId, intent: &Intent, forged: Option<Authorization>) -> Artifact {
        match intent {
            Intent::Authorise(authorise) => {
                let signed = forged.unwrap_or(Authorization {
                    from: self.key.address(),
                    to: authorise.to,
                    value: authorise.amount.units,
                    valid_after: 0,
                    valid_before: NOW + 120,
                    nonce: id.nonce(),
                });
                Artifact::Authorisation(Box::new(Authorisation {
                    from: signed.from,
                    to: signed.to,
                    value: signed.value,
                    valid_after: signed.valid_after,
                    valid_before: signed.valid_before,
                    nonce: signed.nonce,
                    signature: self.key.authorise(authorise.amount.asset, &signed),
                }))
            }
            Intent::PermitTransfer(pay) => {
                let facilitator = pay.via.facilitator();
                let spender = permit2::proxy(facilitator);
                let asset = pay.amount.asset;
                let mut permit = Permit2Authorization {
                    from: self.key.address(),
                    permitted: Permitted { token: asset.token, amount: pay.amount.units },
                    spender,
                    nonce: id.permit_nonce(),
                    deadline: NOW + 120,
                    witness: Permit2Witness { to: pay.to, facilitator, valid_after: 0 },
                };
                if let Some(forge) = *self.forge.lock().unwrap() {
                    forge(&mut permit);
                }
                let signature = self.key.sign(permit.permit().digest(asset.chain)).into();
                let Permit2Authorization { from, permitted, spender, nonce, deadline, witness } =
                    permit;
                Artifact::PermitTransfer(Box::new(SignedPermit {
                    from,
                    to: witness.to,
                    token: permitted.token,
                    amount: permitted.amount,
                    spender,
                    facilitator: witness.facilitator,
                    valid_after: witness.valid_after,
                    deadline,
                    nonce,
                    signature,
                }))
            }
            Intent::ApprovePermit2 { .. } => Artifact::Transaction { hash: transaction(id) },
            Intent::Settle(_) | Intent::SettlePermit(_) => {
                Artifact::Transaction { hash: transaction(id) }
            }
            _ => Artifact::Permission,
        }
    }
}

/// The transaction in which the scripted steward settles.
pub(crate) fn transaction(id: IntentId) -> B256 {
    keccak256(id.0)
}

fn fault(code: &str) -> PaymentError {
    PaymentError::Fault(Fault { code: code.to_owned(), message: format!("told to: {code}") })
}

fn row(mark: Mark) -> Vec<Row> {
    vec![Row {
        rule: "limits.USDC.day".to_owned(),
        measured: "9.99 USDC".to_owned(),
        limit: "1.00 USDC".to_owned(),
        mark,
        mend: None,
    }]
}

#[async_trait]
impl Authority for Steward {
    async fn propose(&self, proposal: Proposal) -> Result<Outcome, PaymentError> {
        let view = self.view.lock().unwrap().clone();
        let id = proposal.id(view.origin, &view.agent);
        self.proposals.lock().unwrap().push(proposal.clone());
        let verdict = self.verdict.lock().unwrap().clone();
        let forged = match verdict {
            Verdict::Hold => return Ok(Outcome::Held { id, table: row(Mark::Ask) }),
            Verdict::Refuse => return Ok(Outcome::Refused { id, table: row(Mark::Fail) }),
            Verdict::Fault(code) => return Err(fault(code)),
            Verdict::Sign(authorization) => Some(authorization),
            Verdict::Allow => None,
        };
        let lacks = |rule: &str, has: U256| {
            let measured = format!("{} USDC", format_units(has, 6));
            let row = Row { rule: rule.to_owned(), measured, ..row(Mark::Fail).remove(0) };
            Ok(Outcome::Refused { id, table: vec![row] })
        };
        let (mut allowance, balance) =
            (self.allowance.lock().unwrap(), *self.balance.lock().unwrap());
        match &proposal.intent {
            Intent::PermitTransfer(pay) if pay.amount.units > *allowance => {
                return lacks("permit2.allowance", *allowance);
            }
            Intent::ApprovePermit2 { amount } if amount.units > balance => {
                return lacks("permit2.balance", balance);
            }
            Intent::ApprovePermit2 { amount } => *allowance = amount.units,
            _ => {}
        }
        let body = proposal.intent.body_hash();
        let mut first = false;
        let known = *self.bodies.lock().unwrap().entry(id).or_insert_with(|| {
            first = true;
            body
        });
        if known != body {
            return Err(fault("id_reused"));
        }
        if first && matches!(proposal.intent, Intent::Settle(_) | Intent::SettlePermit(_)) {
            self.settlements.fetch_add(1, Ordering::SeqCst);
        }
        Ok(Outcome::Allowed { id, artifact: self.allow(id, &proposal.intent, forged) })
    }

    async fn settling(&self, after: Option<IntentId>) -> Result<Vec<SettlingView>, PaymentError> {
        let all = self.under_way.lock().unwrap();
        let Some(all) = all.as_ref() else {
            return Err(PaymentError::Unsupported("not told".to_owned()));
        };
        let later = all.iter().filter(|it| after.is_none_or(|after| it.id > after));
        Ok(later.take(100).copied().collect())
    }

    async fn preview(&self, proposal: Proposal) -> Result<Preview, PaymentError> {
        let (foreseen, settled, payer) =
            self.preview.lock().unwrap().clone().ok_or_else(|| {
                PaymentError::Unsupported("this steward foresees nothing".to_owned())
            })?;
        let view = self.view.lock().unwrap().clone();
        let id = proposal.id(view.origin, &view.agent);
        Ok(Preview { id, foreseen, settled, payer })
    }

    async fn view(&self) -> Result<View, PaymentError> {
        Ok(self.view.lock().unwrap().clone())
    }

    async fn report(&self, report: Report) -> Result<(), PaymentError> {
        self.reports.lock().unwrap().push(report.said);
        Ok(())
    }

    async fn wait(&self, intent: IntentId, _: Duration) -> Result<IntentState, PaymentError> {
        if !self.bodies.lock().unwrap().contains_key(&intent) {
            return Err(fault("unknown"));
        }
        let state = *self.state.lock().unwrap();
        let transaction =
            matches!(state, PaymentState::Seen | PaymentState::Final).then(|| transaction(intent));
        Ok(IntentState { id: intent, state, transaction, block: None })
    }
}

/// A listening socket, its base URL and a client that may reach it.
pub(crate) async fn stand() -> (TcpListener, Url, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let url = Url::parse(&format!("http://{host}")).unwrap();
    (listener, url, client(&host))
}

pub(crate) fn client(host: &str) -> Client {
    Client::new(Guard { loopback: vec![host.to_owned()], ..Guard::default() }).unwrap()
}

pub(crate) fn open(listener: TcpListener, router: axum::Router) {
    tokio::spawn(async move { axum::serve(listener, router).await });
}
