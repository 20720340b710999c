//! What an owner does: sign statements for a steward, and send transactions of their own.
//!
//! The owner's key is unlocked on the owner's machine, for one command, and never enters the
//! steward's home.

mod account;
mod ends;
mod notes;
mod past;
mod send;

pub use account::account_of;
pub use ends::Ends;
pub use notes::{Adopted, Note, Notes, Prepared, Turn};
pub use past::{Holding, holding, succession};
pub use send::{Heard, broadcast};

use crate::home::OwnerHome;
use alloy_primitives::{Address, B256, U256};
use marque_identity::{Receipt, Rpc, registry};
use marque_identity_keys::{Key, KeyDir, KeyError, countersign, sign_statement};
use marque_policies::{
    Intent, Policy, SignedStatement, Statement, Timestamp,
    intent::{AcceptWallet, IntentId},
    money::format_units,
};
use marque_steward::{Home as StewardHome, audit};
use marque_steward_client::{Artifact, Client, Outcome, Proposal};
use secrecy::SecretString;
use std::{
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

/// The highest fee of one transaction of the owner's where nothing else is said ([`Owner::pays_at_most`]), in
/// wei: 0.1 of the chain's coin. It is then also the most that the word of one endpoint costs in [`Ends`].
pub const MOST_FEE: U256 = U256::from_limbs([100_000_000_000_000_000, 0, 0, 0]);

/// The name of the owner's keystore in the owner's folder.
pub const KEY: &str = "owner";

/// Why an act of the owner did not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OwnerError {
    /// The owner's folder or a keystore in it.
    #[error(transparent)]
    Key(#[from] marque_identity_keys::KeyError),
    /// The chain.
    #[error(transparent)]
    Chain(#[from] marque_identity::IdentityError),
    /// What is delegated on chain.
    #[error(transparent)]
    Delegation(#[from] marque_contracts::delegation::DelegationError),
    /// The steward.
    #[error(transparent)]
    Steward(#[from] marque_steward_client::ClientError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] marque_steward::StewardError),
    /// A file in the owner's folder.
    #[error("cannot use {}: {source}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another command signs with the same key what this one would.
    #[error(
        "another command is delegating with the key in {}: wait for it, then look what it signed",
        .0.display()
    )]
    Busy(PathBuf),
    /// There is no key in the owner's folder.
    #[error("there is no owner's key in {}", .0.display())]
    NoKey(PathBuf),
    /// Too few coins for a transaction.
    #[error(
        "{owner} has {} of the chain's coin, and this may take {} of it",
        coins(*has),
        coins(*needs)
    )]
    Coins {
        /// Who would pay.
        owner: Address,
        /// What they have, in wei.
        has: U256,
        /// What is sent and what the fee may be, in wei.
        needs: U256,
    },
    /// The endpoint is of another chain.
    #[error(
        "the endpoint says that it serves chain {found}, and this is for chain {chain}; nothing was signed for \
         chain {found}"
    )]
    Chains {
        /// What it says.
        found: u64,
        /// What the policy says.
        chain: u64,
    },
    /// The endpoint wants a fee that no transaction of an owner's is worth.
    #[error(
        "the endpoint wants a fee of up to {} of the chain's coin, more than {}; nothing was signed: wait, or \
         name another endpoint in the policy",
        coins(*fee),
        coins(*most)
    )]
    Fee {
        /// In wei,
        fee: U256,
        /// and the most that is paid.
        most: U256,
    },
    /// The word of an endpoint would cost too much, in what one command sends.
    #[error(
        "the endpoint wants up to {} of the chain's coin for this{}, and {} is the most that its word may cost",
        coins(*fee),
        besides(*before),
        coins(*most)
    )]
    TooDear {
        /// What it may cost, in wei,
        fee: U256,
        /// besides what was signed by its word before,
        before: U256,
        /// and the most in all.
        most: U256,
    },
    /// There is nobody to ask.
    #[error("there is no endpoint to ask")]
    NoEndpoint,
    /// The endpoints do not agree on what the key has sent before.
    #[error(
        "the policy's endpoints say {least} and {most} for the number of transactions of {key}: one of them \
         lags or lies; nothing was signed: try again, or name others in the policy"
    )]
    Nonces {
        /// The key.
        key: Address,
        /// The least that one says,
        least: u64,
        /// and the most.
        most: u64,
    },
    /// The endpoints are not of the same chain.
    #[error(
        "{} and {} say that the chain begins with different blocks: one of them lies, or is of another chain; \
         nothing was signed: name others in the policy",
        hosts[0],
        hosts[1]
    )]
    Genesis {
        /// Two that differ.
        hosts: [String; 2],
    },
    /// Not every endpoint sees a transaction that another one calls mined.
    #[error(
        "{transaction} is in a block by the word of one endpoint, and {host} does not see it: one of them lags \
         or lies; look again before you send anything twice"
    )]
    Unconfirmed {
        /// The transaction.
        transaction: B256,
        /// Who does not see it.
        host: String,
    },
    /// A transaction was mined and failed.
    #[error("the chain reverted the owner's transaction {0}")]
    Reverted(B256),
    /// The steward answered something that does not fit.
    #[error("{0}")]
    Unexpected(String),
}

/// The hash of a chain's block 0, on which all endpoints that answer agree: a journal is bound to it for good.
///
/// # Errors
/// [`OwnerError::Genesis`] where two differ, and where none answers.
pub async fn genesis_of(rpc: &Rpc) -> Result<B256, OwnerError> {
    let (mut first, mut failure) = (None::<(String, B256)>, OwnerError::NoEndpoint);
    for (host, said) in rpc.all(|each| async move { each.genesis_hash().await }).await {
        match (said, &first) {
            (Ok(hash), Some((other, said))) if hash != *said => {
                return Err(OwnerError::Genesis { hosts: [other.clone(), host] });
            }
            (Ok(hash), None) => first = Some((host, hash)),
            (Ok(_), Some(_)) => {}
            (Err(error), _) => failure = OwnerError::from(error),
        }
    }
    first.map(|(_, hash)| hash).ok_or(failure)
}

/// Coins as people count them; every chain that Marque knows has 18 digits.
fn coins(wei: U256) -> String {
    format_units(wei, 18)
}

/// What was signed before, where anything was.
fn besides(before: U256) -> String {
    match before.is_zero() {
        true => String::new(),
        false => format!(", besides {} for what was signed by its word before", coins(before)),
    }
}

/// The owner's folder, which may not be there yet.
fn existing(folder: &OwnerHome) -> Result<KeyDir, OwnerError> {
    match folder.path().exists() {
        true => Ok(KeyDir::open(folder.path())?),
        false => Err(OwnerError::NoKey(folder.path().to_owned())),
    }
}

/// The same words where the folder is there, and the key is not.
fn absent(folder: &OwnerHome, error: KeyError) -> OwnerError {
    match error {
        KeyError::Missing { .. } => OwnerError::NoKey(folder.path().to_owned()),
        error => error.into(),
    }
}

/// How a steward's home stands for a policy that is to be adopted there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ground {
    /// EIP-155 id of its chain.
    pub chain: u64,
    /// The journal's origin.
    pub origin: B256,
    /// Hash of the chain's block 0, where the journal is still to begin.
    pub begins: Option<B256>,
    /// The key that signs the journal's checkpoints.
    pub log_key: B256,
    /// The agent's key, where it is still to be enrolled.
    pub enrolls: Option<Address>,
}

/// An owner with an unlocked key.
#[derive(Debug)]
pub struct Owner {
    key: Key,
    /// The highest fee of what pays.
    most: U256,
    /// Who hears of each transaction as it goes out.
    hears: Option<fn(&Heard)>,
}

impl Owner {
    /// Makes the owner's key in `folder`, encrypted with `passphrase`, and answers its address.
    ///
    /// # Errors
    /// Where there is one already, or the folder cannot be written.
    pub fn create(folder: &OwnerHome, passphrase: &SecretString) -> Result<Address, OwnerError> {
        Ok(KeyDir::create(folder.path())?.create_key(KEY, passphrase)?)
    }

    /// The owner's address, without the passphrase.
    ///
    /// # Errors
    /// Where there is no key yet.
    pub fn address_in(folder: &OwnerHome) -> Result<Address, OwnerError> {
        existing(folder)?.address(KEY).map_err(|error| absent(folder, error))
    }

    /// Unlocks the key in `folder`.
    ///
    /// # Errors
    /// A wrong passphrase, or no key.
    pub fn unlock(folder: &OwnerHome, passphrase: &SecretString) -> Result<Self, OwnerError> {
        let key = existing(folder)?.key(KEY, passphrase);
        let key = key.map_err(|error| absent(folder, error))?;
        Ok(Self { key, most: MOST_FEE, hears: None })
    }

    /// The owner's address.
    #[must_use]
    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// Signs one statement for the journal of `origin`.
    #[must_use]
    pub fn sign(
        &self,
        statement: Statement,
        chain: u64,
        origin: B256,
        document: Option<String>,
    ) -> SignedStatement {
        sign_statement(&self.key, statement, chain, origin, document)
    }

    /// Hands the journal of `origin` over to another owner, who has to take it over. `since` is the
    /// entry by which this one came into force.
    #[must_use]
    pub fn hand_over(&self, to: Address, since: u64, chain: u64, origin: B256) -> SignedStatement {
        self.sign(Statement::Rotate { owner: to, since }, chain, origin, None)
    }

    /// Takes a journal over that its owner handed over: the proof that this key is at hand.
    #[must_use]
    pub fn take_over(&self, handed: SignedStatement, chain: u64, origin: B256) -> SignedStatement {
        countersign(&self.key, handed, chain, origin)
    }

    /// Registers an ERC-8004 identity that the owner holds.
    ///
    /// # Errors
    /// Where the transaction fails or emits no `Registered`.
    pub async fn register(
        &self,
        rpc: &Rpc,
        chain: u64,
        at: Address,
        uri: &str,
    ) -> Result<U256, OwnerError> {
        let receipt = self.send(rpc, chain, at, U256::ZERO, registry::register(uri)).await?;
        let id = registry::registered_id(&receipt, at)
            .ok_or_else(|| OwnerError::Unexpected(format!("{at} emitted no Registered event")))?;
        // An endpoint that names another identity of this owner's would have its wallet changed.
        for (_, found) in
            rpc.all(|each| async move { registry::agent_uri(&each, at, id).await }).await
        {
            if found? != uri {
                return Err(OwnerError::Unexpected(format!(
                    "the endpoints do not agree that identity {id} is the one that was registered in {}",
                    receipt.transaction
                )));
            }
        }
        Ok(id)
    }

    /// Names `wallet`, the key of the agent behind `steward`, as the wallet of identity `agent_id`: the
    /// steward, whose journal is that of `origin`, holds the intent, the owner approves it, the steward
    /// signs, the owner sends.
    ///
    /// # Errors
    /// Where any of these steps is refused.
    pub async fn set_wallet(
        &self,
        rpc: &Rpc,
        steward: &Client,
        (chain, at): (u64, Address),
        agent_id: U256,
        (wallet, origin): (Address, B256),
    ) -> Result<Receipt, OwnerError> {
        let view = steward.view().await?;
        // The signature is good for minutes only, so each call is a task of its own.
        let proposal = || Proposal {
            task: format!("identity-{agent_id}-{}", view.now),
            step: 0,
            ordinal: 0,
            attempt: 0,
            intent: Intent::AcceptWallet(AcceptWallet {
                chain,
                registry: at,
                agent_id,
                owner: self.address(),
            }),
        };
        let mut outcome = steward.propose(proposal()).await?;
        if let Outcome::Held { id, .. } = outcome {
            let body = proposal().intent.body_hash();
            let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
            let approval = self.approval(&view, id, body, u64::try_from(since).unwrap_or_default());
            steward.submit(self.sign(approval, chain, origin, None)).await?;
            outcome = steward.propose(proposal()).await?;
        }
        match outcome {
            Outcome::Allowed { artifact: Artifact::Signature { signature, deadline }, .. } => {
                let data = registry::set_agent_wallet(agent_id, wallet, deadline, signature);
                self.send(rpc, chain, at, U256::ZERO, data).await
            }
            Outcome::Refused { table, .. } | Outcome::Held { table, .. } => {
                let rows: Vec<String> = table.iter().map(ToString::to_string).collect();
                Err(OwnerError::Unexpected(format!(
                    "the steward does not accept the wallet: {}",
                    rows.join("; ")
                )))
            }
            Outcome::Allowed { .. } => {
                Err(OwnerError::Unexpected("the steward answered without a signature".to_owned()))
            }
        }
    }

    /// An approval of one held intent, good for an hour.
    #[must_use]
    pub fn approval(
        &self,
        view: &marque_steward_client::View,
        intent: IntentId,
        body: B256,
        now: Timestamp,
    ) -> Statement {
        Statement::Approve {
            agent: view.agent.clone(),
            intent,
            body,
            version: view.policy_version,
            deadline: now / 1000 + 3600,
        }
    }

    /// The statements that put `document` in force for `agent`: in a new home the genesis and the
    /// agent's enrolment come first.
    ///
    /// # Errors
    /// Where the document does not fit into the journal, the home has no keys, or the chain does not
    /// answer.
    pub async fn adoption(
        &self,
        home: &StewardHome,
        agent: &str,
        policy: &Policy,
        document: &str,
        rpc: &Rpc,
    ) -> Result<Vec<SignedStatement>, OwnerError> {
        let keys = KeyDir::open(home.keys())?;
        let state = if home.has_journal() { Some(audit::state(home)?) } else { None };
        let begins = match &state {
            None => Some(genesis_of(rpc).await?),
            Some(_) => None,
        };
        let enrolled = state.is_some_and(|state| state.agent(agent).is_some());
        let ground = Ground {
            chain: home.chain(),
            origin: home.origin(),
            begins,
            log_key: B256::from(keys.log_public_key()?),
            enrolls: if enrolled { None } else { Some(keys.address(agent)?) },
        };
        self.adoption_on(ground, agent, policy, document)
    }

    /// The same where the steward's home is on another machine, which said how it stands there.
    ///
    /// # Errors
    /// Where the document does not fit into the journal.
    pub fn adoption_on(
        &self,
        ground: Ground,
        agent: &str,
        policy: &Policy,
        document: &str,
    ) -> Result<Vec<SignedStatement>, OwnerError> {
        marque_steward::entry::fits(document)?;
        let Ground { chain, origin, begins, log_key, enrolls } = ground;
        let mut acts = Vec::new();
        if let Some(chain_genesis) = begins {
            let owner = self.address();
            let genesis = Statement::Genesis { owner, chain_genesis, log_key };
            acts.push(self.sign(genesis, chain, origin, None));
        }
        if let Some(key) = enrolls {
            let enroll = Statement::Enroll { agent: agent.to_owned(), key };
            acts.push(self.sign(enroll, chain, origin, None));
        }
        let adopt = Statement::Adopt {
            agent: agent.to_owned(),
            version: policy.version,
            policy: policy.hash,
        };
        acts.push(self.sign(adopt, chain, origin, Some(document.to_owned())));
        Ok(acts)
    }
}

/// Waits until a steward answers on `socket`.
///
/// # Errors
/// The last connection error, once `patience` is over.
pub async fn connect(
    socket: &std::path::Path,
    patience: Duration,
) -> Result<Client, marque_steward_client::ClientError> {
    let start = Instant::now();
    loop {
        match Client::connect(socket).await {
            Ok(client) => return Ok(client),
            Err(error) if start.elapsed() > patience => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Hands acts of the owner to the journal of a home in which no steward works; answers the entry of
/// each.
///
/// # Errors
/// Where a steward works there, or one of them is not accepted.
pub async fn submit_offline(
    home: StewardHome,
    unlock: SecretString,
    acts: Vec<SignedStatement>,
) -> Result<Vec<u64>, OwnerError> {
    let submit = move || marque_steward::submit_offline(&home, unlock, acts);
    let noted = tokio::task::spawn_blocking(submit).await;
    Ok(noted.map_err(|error| OwnerError::Unexpected(error.to_string()))??)
}
