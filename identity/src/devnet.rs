//! A development chain: an `anvil` of our own on a free port of this machine.
//!
//! It mines at an interval, so that finality advances without traffic, and it ends with the value
//! that started it. Deployment and the faucet use the accounts that anvil keeps unlocked, so no key
//! is needed here, public or not.

mod find;

use crate::{IdentityError, Receipt, Rpc};
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_sol_types::SolCall as _;
use marque_contracts::{
    TestDollar,
    delegation::{DEPLOYER, Deployment, Framework, Package},
};
use serde_json::{Value, json};
use std::{
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, Command},
};

/// The chain id that development chains use.
const CHAIN_ID: u64 = 31337;

/// How long a chain may take to answer after its start.
const START: Duration = Duration::from_secs(60);

/// How long one of our own transactions may take.
const MINED: Duration = Duration::from_secs(30);

/// How often a port that another process took meanwhile is exchanged for a new one.
const PORTS: usize = 5;

/// How a development chain is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Time between blocks.
    pub block_time: Duration,
    /// Also mine a block for each transaction at once.
    pub eager: bool,
    /// The port; `None` takes a free one.
    pub port: Option<u16>,
    /// A file that keeps the chain's state over restarts. Written at [`Devnet::stop`] and every few
    /// seconds.
    pub state: Option<PathBuf>,
    /// EIP-155 chain id.
    pub chain_id: u64,
}

impl Default for Options {
    /// A block a second, a free port, nothing kept.
    fn default() -> Self {
        Self {
            block_time: Duration::from_secs(1),
            eager: false,
            port: None,
            state: None,
            chain_id: CHAIN_ID,
        }
    }
}

/// A running development chain. It is killed when this is dropped.
#[derive(Debug)]
pub struct Devnet {
    url: String,
    chain_id: u64,
    process: Child,
    rpc: Rpc,
    deployer: Address,
    /// Old states, some hundred megabytes an hour, which a chain that is killed leaves behind.
    _states: TempDir,
}

/// Why there is no development chain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DevnetError {
    /// There is no anvil.
    #[error("cannot find anvil; run `make setup`, or put anvil on the PATH, or set MARQUE_ANVIL")]
    NoAnvil,
    /// `MARQUE_ANVIL` names nothing.
    #[error("MARQUE_ANVIL names {}, which is not a program", .0.display())]
    NotAProgram(PathBuf),
    /// It cannot be run.
    #[error("cannot run {}: {source}", program.display())]
    Run {
        /// Which anvil.
        program: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// It ended at once.
    #[error("anvil ended at its start: {0}")]
    Ended(String),
    /// It does not answer.
    #[error("anvil did not answer within {} s", START.as_secs())]
    Silent,
    /// Our own transaction failed.
    #[error("the development chain reverted transaction {0}")]
    Failed(B256),
}

impl Devnet {
    /// Starts a chain and waits until it answers. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`DevnetError`].
    pub async fn start(options: &Options) -> Result<Self, IdentityError> {
        let program = find::anvil()?;
        let mut ended = String::new();
        for _ in 0..PORTS {
            let port = match options.port {
                Some(port) => port,
                None => free_port().map_err(|source| run_error(&program, source))?,
            };
            let states = TempDir::with_prefix("marque-devnet-")
                .map_err(|source| run_error(&program, source))?;
            let mut process = command(&program, port, options)
                .arg("--cache-path")
                .arg(states.path())
                .spawn()
                .map_err(|source| run_error(&program, source))?;
            let url = format!("http://127.0.0.1:{port}");
            let rpc = Rpc::new(std::slice::from_ref(&url))?;
            if let Some(deployer) = first_answer(&mut process, &rpc).await? {
                drain(&mut process);
                let chain_id = options.chain_id;
                let devnet = Self { url, chain_id, process, rpc, deployer, _states: states };
                devnet.place_everywhere().await?;
                return Ok(devnet);
            }
            ended = last_words(&mut process).await;
            if options.port.is_some() {
                break;
            }
        }
        Err(DevnetError::Ended(ended).into())
    }

    /// The chain's RPC endpoint.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// EIP-155 chain id.
    #[must_use]
    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// The operating system's number of the process; `None` once it has ended.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        self.process.id()
    }

    /// A client for the chain.
    #[must_use]
    pub const fn rpc(&self) -> &Rpc {
        &self.rpc
    }

    /// Puts what public chains have at one address where it is looked for: Permit2 and the x402
    /// proxies. On a chain that is kept they are there already, and stay what they were.
    async fn place_everywhere(&self) -> Result<(), IdentityError> {
        for (at, code) in marque_contracts::everywhere() {
            let there: Bytes = self.rpc.ask("eth_getCode", json!([at, "latest"])).await?;
            if there.is_empty() {
                self.command("anvil_setCode", json!([at, code])).await?;
            }
        }
        Ok(())
    }

    /// Deploys a contract, and mines the block that it is in.
    ///
    /// # Errors
    /// [`DevnetError::Failed`] where the constructor reverts, otherwise [`IdentityError`].
    pub async fn deploy(&self, bytecode: Bytes) -> Result<Address, IdentityError> {
        let receipt = self.transact(None, bytecode).await?;
        let failed = || DevnetError::Failed(receipt.transaction).into();
        receipt.contract_address.ok_or_else(failed)
    }

    /// Sets the balance of `account` to `wei`.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub async fn give_eth(&self, account: Address, wei: U256) -> Result<(), IdentityError> {
        self.command("anvil_setBalance", json!([account, wei])).await
    }

    /// Gives `account` new test dollars: `units` base units of the dollar at `token`.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub async fn mint(
        &self,
        token: Address,
        account: Address,
        units: U256,
    ) -> Result<(), IdentityError> {
        let call = TestDollar::mintCall { to: account, value: units };
        self.transact(Some(token), call.abi_encode().into()).await.map(drop)
    }

    /// Mines `blocks` blocks at once.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub async fn mine(&self, blocks: u64) -> Result<(), IdentityError> {
        self.command("anvil_mine", json!([U64::from(blocks)])).await
    }

    /// Lets time pass on the chain, by one block that carries the later time.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub async fn advance(&self, time: std::time::Duration) -> Result<(), IdentityError> {
        self.command("evm_increaseTime", json!([time.as_secs()])).await?;
        self.mine(1).await
    }

    /// Changes the time between blocks, in seconds; 0 stops mining at an interval.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub async fn set_interval(&self, seconds: u64) -> Result<(), IdentityError> {
        self.command("anvil_setIntervalMining", json!([seconds])).await
    }

    /// Ends the chain in order, so that it writes its state; kills it after 10 s.
    pub async fn stop(mut self) {
        let asked = self
            .process
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(rustix::process::Pid::from_raw)
            .is_some_and(|pid| {
                rustix::process::kill_process(pid, rustix::process::Signal::TERM).is_ok()
            });
        let patience = Duration::from_secs(if asked { 10 } else { 0 });
        if tokio::time::timeout(patience, self.process.wait()).await.is_err() {
            tracing::warn!("the development chain did not end in time and is killed");
        }
    }

    /// Calls the contract at `to` from an account that the chain keeps unlocked: the stranger whom
    /// every chain has.
    ///
    /// # Errors
    /// [`DevnetError::Failed`] where the call reverts, otherwise [`IdentityError`].
    pub async fn send(&self, to: Address, data: Bytes) -> Result<Receipt, IdentityError> {
        self.transact(Some(to), data).await
    }

    /// Sends a transaction from an account that the chain keeps unlocked, and mines it.
    async fn transact(&self, to: Option<Address>, data: Bytes) -> Result<Receipt, IdentityError> {
        let mut call = json!({ "from": self.deployer, "data": data });
        if let (Some(to), Some(fields)) = (to, call.as_object_mut()) {
            fields.insert("to".to_owned(), json!(to));
        }
        let hash: B256 = self.rpc.ask("eth_sendTransaction", json!([call])).await?;
        self.mine(1).await?;
        let receipt = self.rpc.wait_receipt(hash, MINED).await?;
        if receipt.success { Ok(receipt) } else { Err(DevnetError::Failed(hash).into()) }
    }

    /// A method of anvil's own whose answer says nothing.
    async fn command(&self, method: &'static str, params: Value) -> Result<(), IdentityError> {
        self.rpc.ask_maybe::<Value>(method, params).await.map(drop)
    }
}

/// Gives `account` money on the development chain at `url`, which somebody else started: new test
/// dollars where `token` is their contract, wei where it is the zero address.
///
/// # Errors
/// [`IdentityError`]; a chain that is no development chain knows no such method.
pub async fn faucet(
    url: &str,
    token: Address,
    account: Address,
    units: U256,
) -> Result<(), IdentityError> {
    let rpc = Rpc::new(&[url.to_owned()])?;
    if token.is_zero() {
        let wei = rpc.balance(account).await?.saturating_add(units);
        return rpc.ask_maybe::<Value>("anvil_setBalance", json!([account, wei])).await.map(drop);
    }
    let accounts: Vec<Address> = rpc.ask("eth_accounts", json!([])).await?;
    let from = accounts.first();
    let data: Bytes = TestDollar::mintCall { to: account, value: units }.abi_encode().into();
    let call = json!([{ "from": from, "to": token, "data": data }]);
    let hash: B256 = rpc.ask("eth_sendTransaction", call).await?;
    let receipt = rpc.wait_receipt(hash, MINED).await?;
    if receipt.success { Ok(()) } else { Err(DevnetError::Failed(hash).into()) }
}

/// Puts the Delegation Framework onto the development chain behind `rpc`, which somebody else started, as
/// far as it is not there yet; answers where it is. Nobody can pause it.
///
/// # Errors
/// [`IdentityError::Delegation`] where the framework's package is missing; a chain that is no
/// development chain has no account that sends.
pub async fn place_framework(rpc: &Rpc) -> Result<Framework, IdentityError> {
    let package = Package::find()?;
    let Deployment { framework, transactions } =
        package.deployment(rpc.chain_id().await?, crate::account::NOBODY)?;
    let accounts: Vec<Address> = rpc.ask("eth_accounts", json!([])).await?;
    let from = accounts.first();
    for (at, data) in transactions {
        if !rpc.code(at).await?.is_empty() {
            continue;
        }
        let call = json!([{ "from": from, "to": DEPLOYER, "data": data }]);
        let hash: B256 = rpc.ask("eth_sendTransaction", call).await?;
        rpc.ask_maybe::<Value>("anvil_mine", json!([U64::from(1)])).await?;
        let receipt = rpc.wait_receipt(hash, MINED).await?;
        if !receipt.success {
            return Err(DevnetError::Failed(hash).into());
        }
    }
    Ok(framework)
}

fn command(program: &PathBuf, port: u16, options: &Options) -> Command {
    let mut command = Command::new(program);
    command
        .args(["--silent", "--host", "127.0.0.1", "--port", &port.to_string()])
        .args(["--chain-id", &options.chain_id.to_string()])
        .args(["--block-time", &options.block_time.as_secs_f64().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if options.eager {
        command.arg("--mixed-mining");
    }
    if let Some(state) = &options.state {
        command.arg("--state").arg(state).args(["--state-interval", "5"]);
    }
    command
}

/// A port that nobody listens on at the moment.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// The first unlocked account once the chain answers, `None` once the process has ended.
async fn first_answer(process: &mut Child, rpc: &Rpc) -> Result<Option<Address>, IdentityError> {
    let start = Instant::now();
    while start.elapsed() < START {
        let accounts = rpc.ask::<Vec<Address>>("eth_accounts", json!([])).await;
        // Somebody else on the same port must not pass for ours.
        if !matches!(process.try_wait(), Ok(None)) {
            return Ok(None);
        }
        if let Some(account) = accounts.ok().and_then(|accounts| accounts.first().copied()) {
            return Ok(Some(account));
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    Err(DevnetError::Silent.into())
}

/// Keeps the pipe of a running process from filling up.
fn drain(process: &mut Child) {
    if let Some(mut errors) = process.stderr.take() {
        tokio::spawn(async move {
            let drained = tokio::io::copy(&mut errors, &mut tokio::io::sink()).await;
            tracing::trace!(?drained, "the development chain has ended");
        });
    }
}

/// What a process that ended said at last.
async fn last_words(process: &mut Child) -> String {
    let mut words = String::new();
    if let Some(errors) = process.stderr.take()
        && errors.take(4096).read_to_string(&mut words).await.is_err()
    {
        words.clear();
    }
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() { "it said nothing".to_owned() } else { words }
}

fn run_error(program: &std::path::Path, source: std::io::Error) -> DevnetError {
    DevnetError::Run { program: program.to_owned(), source }
}
