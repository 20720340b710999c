//! A whole economy on one machine: a devnet with contracts, owners, and each owner's steward with
//! its fenced mind, all of them real processes.
//!
//! `marque demo`, `marque devnet` and the system tests stand on it. Nothing here is a short cut:
//! owners sign genesis, policy and wallet through the same calls as on the command line. Only the
//! money comes from a faucet.

use crate::{
    drafts::PolicyFiles,
    home::{Home, OwnerHome},
    owner::{Owner, OwnerError, connect, submit_offline},
};
use alloy_primitives::{Address, U256};
use marque_contracts::Contract;
use marque_identity::{
    Rpc,
    card::{Card, Service},
    devnet::Devnet,
};
use marque_identity_keys::{KeyDir, secret};
use marque_policies::{SignedStatement, Sources};
use marque_steward::Home as StewardHome;
use marque_steward_client::Client;
use secrecy::{ExposeSecret as _, SecretString};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
};

/// Digits of the test dollar.
pub const DECIMALS: u8 = 6;

/// What the test dollar is called in policies.
pub const DOLLAR: &str = "tUSD";

/// EIP-712 domain of the test dollar.
pub const DOLLAR_DOMAIN: (&str, &str) = ("Marque Test Dollar", "1");

/// Why the economy could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EconomyError {
    /// The devnet or a chain call.
    #[error(transparent)]
    Chain(#[from] marque_identity::IdentityError),
    /// An owner's act.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// Keys.
    #[error(transparent)]
    Keys(#[from] marque_identity_keys::KeyError),
    /// The system's randomness.
    #[error(transparent)]
    Secret(#[from] marque_identity_keys::SecretError),
    /// A policy that does not parse.
    #[error("policy of {0}: {1}")]
    Policy(String, marque_policies::PolicyError),
    /// The steward refused an act or did not start.
    #[error("steward of {0}: {1}")]
    Steward(String, String),
    /// Files and processes.
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
}

/// A chain with the contracts that agents need.
#[derive(Debug)]
pub struct Economy {
    /// The chain's process; it ends when this is dropped.
    pub devnet: Devnet,
    /// A client of the chain.
    pub rpc: Rpc,
    /// The test dollar.
    pub dollar: Address,
    /// The ERC-8004 identity registry.
    pub registry: Address,
    dir: PathBuf,
    program: PathBuf,
}

/// One owner with one agent.
#[derive(Debug)]
pub struct Party {
    /// The agent's name.
    pub name: String,
    /// The steward's home.
    pub home: Home,
    /// Its owner.
    pub owner: Owner,
    /// The agent's address.
    pub address: Address,
    /// What unlocks the steward's keys.
    pub unlock: SecretString,
}

/// A steward at work, and its mind if it has one.
#[derive(Debug)]
pub struct Running {
    /// The steward's process.
    pub child: Child,
    /// A connection as the agent's mind has it.
    pub client: Client,
    name: String,
}

impl Economy {
    /// Starts a chain that mines every second, and deploys the contracts. Everything else will be
    /// kept under `dir`; `program` is the `marque` command.
    ///
    /// # Errors
    /// Where anvil is missing or the chain does not answer.
    pub async fn start(dir: &Path, program: PathBuf, devnet: Devnet) -> Result<Self, EconomyError> {
        let rpc = Rpc::new(&[devnet.url().to_owned()])?;
        let dollar = devnet.deploy(marque_contracts::bytecode(Contract::TestDollar)).await?;
        let registry =
            devnet.deploy(marque_contracts::bytecode(Contract::IdentityRegistry)).await?;
        Ok(Self { devnet, rpc, dollar, registry, dir: dir.to_owned(), program })
    }

    /// Makes an owner and an agent, and gives both coins for gas.
    ///
    /// # Errors
    /// Where a folder cannot be written.
    pub async fn party(&self, name: &str) -> Result<Party, EconomyError> {
        let passphrase = secret::generate()?;
        let folder = OwnerHome::locate(Some(self.dir.join("owners").join(name)))
            .map_err(|error| EconomyError::Steward(name.to_owned(), error))?;
        Owner::create(&folder, &passphrase)?;
        let owner = Owner::unlock(&folder, &passphrase)?;
        let home = Home::locate(Some(self.dir.join(name)))
            .map_err(|error| EconomyError::Steward(name.to_owned(), error))?;
        let unlock = secret::generate()?;
        let address = create_agent(&home, name, self.devnet.chain_id(), &unlock)?;
        let ether = U256::from(10_u64).pow(U256::from(18));
        self.devnet.give_eth(owner.address(), ether).await?;
        self.devnet.give_eth(address, ether).await?;
        Ok(Party { name: name.to_owned(), home, owner, address, unlock })
    }

    /// Mints test dollars, in base units.
    ///
    /// # Errors
    /// Where the chain does not answer.
    pub async fn mint(&self, to: Address, units: u64) -> Result<(), EconomyError> {
        Ok(self.devnet.mint(self.dollar, to, U256::from(units)).await?)
    }

    /// What a policy on this chain begins with: the chain as `rpc` tells of it, the test dollar, and a
    /// day's fees.
    #[must_use]
    pub fn policy_head(&self, owner: Address, rpc: &str) -> String {
        format!(
            r#"format  = 1
version = 1
owner   = "{owner}"

[chain.devnet]
id       = "eip155:{chain}"
rpc      = ["{rpc}"]
finality = 2
native   = "ETH"
identity_registry = "{registry}"

[asset.{DOLLAR}]
chain    = "devnet"
token    = "{dollar}"
decimals = {DECIMALS}
domain   = {{ name = "{name}", version = "{version}" }}

[limits.gas]
day = "0.05 ETH"
"#,
            chain = self.devnet.chain_id(),
            registry = self.registry,
            dollar = self.dollar,
            name = DOLLAR_DOMAIN.0,
            version = DOLLAR_DOMAIN.1,
        )
    }

    /// Has the owner sign `document` and puts it in force, before the steward runs.
    ///
    /// # Errors
    /// Where it does not parse or the steward refuses it.
    pub async fn adopt(&self, party: &Party, document: &str) -> Result<(), EconomyError> {
        let named = |error: &dyn std::fmt::Display| {
            EconomyError::Steward(party.name.clone(), error.to_string())
        };
        let wrong = |error| EconomyError::Policy(party.name.clone(), error);
        let (policy, _) = marque_policies::parse(document).map_err(wrong)?;
        let files = PolicyFiles {
            policy: party.home.policy(&party.name),
            owner: Some(party.home.shared_policy()),
            cedar: Some(party.home.forbids(&party.name)),
        };
        let sources = Sources::read(document).map_err(wrong)?;
        files.write(&sources).map_err(|error| named(&error))?;
        let home = marque_steward::Home::open(party.home.path()).map_err(|error| named(&error))?;
        let acts: Vec<SignedStatement> =
            party.owner.adoption(&home, &party.name, &policy, document, &self.rpc).await?;
        submit_offline(home, party.unlock.clone(), acts).await?;
        Ok(())
    }

    /// Starts the party's steward as a process and, with arguments, its mind.
    ///
    /// # Errors
    /// Where it does not come up within 60 seconds.
    pub async fn run(&self, party: &Party, mind: &[&str]) -> Result<Running, EconomyError> {
        self.run_with(party, mind, &[]).await
    }

    /// Like [`Economy::run`], with environment variables for the steward.
    ///
    /// # Errors
    /// Where it does not come up within 60 seconds.
    pub async fn run_with(
        &self,
        party: &Party,
        mind: &[&str],
        env: &[(&str, &str)],
    ) -> Result<Running, EconomyError> {
        let io = |error| EconomyError::Io(self.program.display().to_string(), error);
        let mut arguments: Vec<OsString> = ["steward", "run", "--unlock-fd", "0", "--with-parent"]
            .into_iter()
            .map(OsString::from)
            .collect();
        if let Some(at) = mind.iter().position(|argument| matches!(*argument, "--file" | "--dir")) {
            arguments.push("--read".into());
            arguments.extend(mind.get(at + 1).map(OsString::from));
        }
        if !mind.is_empty() {
            arguments.push("--".into());
            arguments.extend(mind.iter().map(OsString::from));
        }
        let log = self.dir.join(format!("{}.log", party.name));
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(|error| EconomyError::Io(log.display().to_string(), error))?;
        let mut child = Command::new(&self.program)
            .arg("--home")
            .arg(party.home.path())
            .args(arguments)
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(io)?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(party.unlock.expose_secret().as_bytes()).await.map_err(io)?;
            stdin.shutdown().await.map_err(io)?;
        }
        let socket = party.home.socket(&party.name);
        let client = tokio::select! {
            client = connect(&socket, Duration::from_secs(60)) => client.map_err(OwnerError::from)?,
            status = child.wait() => {
                let said = self.log(&party.name);
                return Err(EconomyError::Steward(
                    party.name.clone(),
                    format!("ended with {}: {said}", status.map_err(io)?),
                ));
            }
        };
        Ok(Running { child, client, name: party.name.clone() })
    }

    /// Registers the agent's identity and makes the agent its wallet; the steward must run.
    ///
    /// # Errors
    /// Where a transaction fails or the steward refuses.
    pub async fn register(
        &self,
        party: &Party,
        steward: &Client,
        description: &str,
        endpoint: Option<&str>,
    ) -> Result<U256, EconomyError> {
        let uri = card(&party.name, description, endpoint)
            .to_data_uri()
            .map_err(|error| EconomyError::Steward(party.name.clone(), error.to_string()))?;
        let chain = self.devnet.chain_id();
        let id = party.owner.register(&self.rpc, chain, self.registry, &uri).await?;
        let view = steward.view().await.map_err(OwnerError::Steward)?;
        let consent = (party.address, view.origin);
        party.owner.set_wallet(&self.rpc, steward, (chain, self.registry), id, consent).await?;
        Ok(id)
    }

    /// What the party's steward and mind wrote to standard error.
    #[must_use]
    pub fn log(&self, name: &str) -> String {
        // A log that cannot be read is as good as an empty one: this only decorates errors.
        std::fs::read_to_string(self.dir.join(format!("{name}.log"))).unwrap_or_default()
    }
}

impl Running {
    /// Asks the steward to stop and waits for it; kills it after ten seconds.
    ///
    /// # Errors
    /// Where the process cannot be reached.
    pub async fn stop(mut self) -> Result<(), EconomyError> {
        let io = |error| EconomyError::Io(format!("steward of {}", self.name), error);
        if let Some(pid) = self
            .child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(rustix::process::Pid::from_raw)
            && rustix::process::kill_process(pid, rustix::process::Signal::TERM).is_err()
        {
            tracing::debug!("it had ended by itself");
        }
        match tokio::time::timeout(Duration::from_secs(10), self.child.wait()).await {
            Ok(status) => status.map(drop).map_err(io),
            Err(_) => self.child.kill().await.map_err(io),
        }
    }

    /// Kills the steward without warning, as a power failure of the process would.
    ///
    /// # Errors
    /// Where the process cannot be reached.
    pub async fn kill(mut self) -> Result<(), EconomyError> {
        self.child
            .kill()
            .await
            .map_err(|error| EconomyError::Io(format!("steward of {}", self.name), error))
    }
}

/// Makes a home's folders and an agent's key in it; the first agent makes the log key, too.
///
/// # Errors
/// Where the agent exists or a folder cannot be written.
pub fn create_agent(
    home: &Home,
    name: &str,
    chain: u64,
    unlock: &SecretString,
) -> Result<Address, EconomyError> {
    let io = |path: &Path| {
        let path = path.display().to_string();
        move |error| EconomyError::Io(path, error)
    };
    let laid_out = if home.path().join("home.json").exists() {
        StewardHome::open(home.path())
    } else {
        StewardHome::create(home.path(), chain)
    };
    let laid_out = laid_out.and_then(|home| home.make_agent(name).map(|_| home));
    laid_out.map_err(|error| EconomyError::Steward(name.to_owned(), error.to_string()))?;
    let keys = KeyDir::create(home.keys())?;
    if keys.log_public_key().is_err() {
        keys.create_log_key(unlock)?;
    }
    let address = keys.create_key(name, unlock)?;
    configure(home, name, &[]).map_err(io(&home.agent(name)))?;
    Ok(address)
}

/// Writes an agent's `agent.toml`: the built-in model, and names for places (`https://feed.example`
/// for `http://127.0.0.1:4021`), which the built-in model needs: it was trained on names, not on
/// ports.
///
/// # Errors
/// Where the file cannot be written.
pub fn configure(home: &Home, name: &str, names: &[(&str, &str)]) -> std::io::Result<()> {
    let mut text = "# The agent's mind. What it may do stands in policy.toml.\n\
                    model = \"built-in\"   # or the path of a GGUF file\n"
        .to_owned();
    if !names.is_empty() {
        text.push_str("\n[names]   # what the model calls a place, and where it is\n");
        for (name, place) in names {
            text.push_str(&format!("{name:?} = {place:?}\n"));
        }
    }
    text.push_str(
        "\n# [files]                  # what read_file and write_file may use, if the policy permits them\n\
         # folder = \"/srv/reports\"   # a folder of its own; nothing above or in this home\n\
         # write  = true\n",
    );
    std::fs::write(home.agent(name).join("agent.toml"), text)
}

/// What the built-in model calls the small seller.
pub const FEED: &str = "https://feed.example";

/// The ERC-8004 registration file of an agent: what it is, and where it serves, if it serves.
#[must_use]
pub fn card(name: &str, description: &str, endpoint: Option<&str>) -> Card {
    let mut card = Card::new(name, description);
    card.x402_support = endpoint.is_some();
    card.services.extend(endpoint.map(|endpoint| Service {
        name: "web".to_owned(),
        endpoint: endpoint.to_owned(),
        version: None,
    }));
    card
}
