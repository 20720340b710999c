//! `marque devnet`, and what is asked of its chain.

use crate::Done;
use alloy_primitives::{Address, U256, hex};
use alloy_sol_types::{SolCall, sol};
use serde_json::{Value, json};
use std::{
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::sleep;

sol! {
    function mint(address to, uint256 value);
    function balanceOf(address account) returns (uint256);
    function transferWithAuthorization(
        address from, address to, uint256 value, uint256 after, uint256 before, bytes32 nonce,
        bytes signature
    );
}

/// Ports that a devnet of one's own does not use.
const PORTS: [&str; 2] = ["18545", "14021"];

/// A chain with a seller on it, gone when the last of these is.
#[derive(Clone)]
pub struct Devnet {
    http: reqwest::Client,
    rpc: String,
    dollar: Address,
    /// What the seller sells for two cents.
    pub feed: String,
    _running: Arc<Running>,
}

struct Running(Child, #[expect(dead_code, reason = "removed with it")] TempDir);

impl Drop for Running {
    fn drop(&mut self) {
        // Asked and not killed: it has a chain and a seller of its own to end.
        let id = self.0.id().to_string();
        let asked = || Command::new("kill").args(["-TERM", &id]).status();
        if matches!(self.0.try_wait(), Ok(None)) && asked().is_ok_and(|status| status.success()) {
            self.0.wait().ok();
        }
    }
}

impl Devnet {
    pub async fn start(marque: &str) -> Done<Self> {
        let home = tempfile::tempdir()?;
        let file = home.path().join("said");
        let child = Command::new(marque)
            .arg("--home")
            .arg(home.path().join("home"))
            .args(["--json", "devnet", "--port", PORTS[0], "--seller-port", PORTS[1]])
            .stdout(std::fs::File::create(&file)?)
            .stdin(Stdio::null())
            .spawn()?;
        let mut running = Running(child, home);
        let said: Value = loop {
            let said = std::fs::read_to_string(&file)?;
            if said.ends_with('\n') {
                break serde_json::from_str(&said)?;
            }
            if let Some(status) = running.0.try_wait()? {
                return Err(format!("{marque} devnet ended: {status}").into());
            }
            sleep(Duration::from_millis(100)).await;
        };
        let text = |at: &str| {
            said.pointer(at).and_then(Value::as_str).ok_or_else(|| format!("no {at} in {said}"))
        };
        Ok(Self {
            http: reqwest::Client::new(),
            rpc: text("/rpc")?.to_owned(),
            dollar: text("/dollar")?.parse()?,
            feed: text("/seller/sells")?.to_owned(),
            _running: Arc::new(running),
        })
    }

    /// Makes test dollars; anyone may.
    pub async fn faucet(&self, to: Address, value: U256) -> Done {
        self.send(mintCall { to, value }).await
    }

    /// A call to the dollar from an account that the chain keeps unlocked.
    pub async fn send(&self, call: impl SolCall + Send) -> Done {
        let from = self.ask("eth_accounts", json!([])).await?[0].clone();
        let data = hex::encode_prefixed(call.abi_encode());
        let call = json!([{ "from": from, "to": self.dollar, "data": data }]);
        self.ask("eth_sendTransaction", call).await.map(drop)
    }

    /// Waits until `account` holds so many units, up to half a minute.
    pub async fn holds(&self, account: Address, units: u64) -> Done {
        let data = hex::encode_prefixed(balanceOfCall { account }.abi_encode());
        let call = json!([{ "to": self.dollar, "data": data }, "latest"]);
        let mut held = U256::MAX;
        for _ in 0..300 {
            let answer = self.ask("eth_call", call.clone()).await?;
            held = answer.as_str().unwrap_or_default().parse()?;
            if held == U256::from(units) {
                return Ok(());
            }
            sleep(Duration::from_millis(100)).await;
        }
        Err(format!("{account} holds {held} units and not {units}").into())
    }

    async fn ask(&self, method: &str, params: Value) -> Done<Value> {
        let asked = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let mut said: Value = self.http.post(&self.rpc).json(&asked).send().await?.json().await?;
        match said.get("error") {
            Some(error) => Err(format!("{method}: {error}").into()),
            None => Ok(said["result"].take()),
        }
    }
}
