//! A real anvil for the tests of the contracts, spoken to in plain JSON-RPC, so that an
//! EIP-712 implementation that shares nothing with ours is the judge of it.

use alloy_primitives::{Address, B256, Bytes, Log, U256};
use alloy_sol_types::{SolCall, SolEvent};
use marque_contracts::{Contract, bytecode};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A development chain that ends with the test. Its accounts are unlocked: it signs for them.
pub(crate) struct Chain {
    anvil: Child,
    port: u16,
    /// Funded accounts.
    pub(crate) accounts: Vec<Address>,
}

/// What became of a transaction.
pub(crate) struct Receipt {
    pub(crate) succeeded: bool,
    pub(crate) created: Option<Address>,
    pub(crate) logs: Vec<Log>,
}

impl Receipt {
    /// The events of type `E`.
    pub(crate) fn events<E: SolEvent>(&self) -> Vec<E> {
        self.logs.iter().filter_map(|log| E::decode_log(log).ok()).map(|log| log.data).collect()
    }
}

impl Chain {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// With these options of anvil's beside ours.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        let mut anvil = Command::new(binary())
            .args(["--port", "0", "--accounts", "6"])
            // Old states on the disk, which nobody would remove.
            .args(["--prune-history", "2000"])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("anvil starts; run scripts/setup to install it");
        let mut lines = BufReader::new(anvil.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = lines
            .find_map(|line| line.strip_prefix("Listening on 127.0.0.1:")?.parse().ok())
            .expect("anvil says where it listens");
        // A pipe that nobody reads would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        let mut chain = Self { anvil, port, accounts: Vec::new() };
        chain.accounts =
            serde_json::from_value(chain.rpc("eth_accounts", json!([])).unwrap()).unwrap();
        chain
    }

    /// The chain id of a fresh anvil.
    pub(crate) const ID: u64 = 31337;

    pub(crate) fn rpc(&self, method: &str, params: Value) -> Result<Value, String> {
        let body =
            json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let head =
            "POST / HTTP/1.1\r\nHost: anvil\r\nContent-Type: application/json\r\nConnection: close";
        write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut answer: Value = serde_json::from_str(body).unwrap();
        match answer.get("error") {
            Some(error) => Err(error.to_string()),
            None => Ok(answer["result"].take()),
        }
    }

    pub(crate) fn deploy(&self, contract: Contract) -> Address {
        self.send(self.accounts[0], None, bytecode(contract)).created.expect("the contract deploys")
    }

    pub(crate) fn transact(&self, from: Address, to: Address, call: impl SolCall) -> Receipt {
        self.send(from, Some(to), call.abi_encode().into())
    }

    pub(crate) fn send(&self, from: Address, to: Option<Address>, data: Bytes) -> Receipt {
        // The gas is given, so that anvil mines a failing transaction as well.
        let transaction = json!([{ "from": from, "to": to, "data": data, "gas": "0x7a1200" }]);
        let hash = self.rpc("eth_sendTransaction", transaction).unwrap();
        let receipt = self.receipt(&hash);
        let logs = receipt["logs"].as_array().unwrap().iter().map(|log| {
            let topics: Vec<B256> = serde_json::from_value(log["topics"].clone()).unwrap();
            let data: Bytes = serde_json::from_value(log["data"].clone()).unwrap();
            Log::new_unchecked(
                serde_json::from_value(log["address"].clone()).unwrap(),
                topics,
                data,
            )
        });
        Receipt {
            succeeded: receipt["status"] == "0x1",
            created: serde_json::from_value(receipt["contractAddress"].clone()).unwrap(),
            logs: logs.collect(),
        }
    }

    /// Each transaction is mined at once, but its receipt can be a moment behind.
    fn receipt(&self, hash: &Value) -> Value {
        for _ in 0..1_000 {
            let receipt = self.rpc("eth_getTransactionReceipt", json!([hash])).unwrap();
            if !receipt.is_null() {
                return receipt;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("transaction {hash} was not mined");
    }

    pub(crate) fn call<C: SolCall>(&self, to: Address, call: C) -> Result<C::Return, String> {
        let data = Bytes::from(call.abi_encode());
        let answer = self.rpc("eth_call", json!([{ "to": to, "data": data }, "latest"]))?;
        let answer: Bytes = serde_json::from_value(answer).unwrap();
        C::abi_decode_returns(&answer).map_err(|error| error.to_string())
    }

    /// Block time in Unix seconds.
    pub(crate) fn now(&self) -> u64 {
        let block = self.rpc("eth_getBlockByNumber", json!(["latest", false])).unwrap();
        serde_json::from_value::<U256>(block["timestamp"].clone()).unwrap().to()
    }

    /// Sets the time of the next block.
    pub(crate) fn next_block_at(&self, seconds: u64) {
        self.rpc("evm_setNextBlockTimestamp", json!([seconds])).unwrap();
    }

    /// A contract account at `at` that accepts every signature (ERC-1271).
    pub(crate) fn put_trusting_wallet(&self, at: Address) {
        // push32 the magic value; mstore at 0; return 32 bytes
        let code = format!("0x7f1626ba7e{}60005260206000f3", "00".repeat(28));
        self.rpc("anvil_setCode", json!([at, code])).unwrap();
    }

    /// `account`'s signature of EIP-712 typed data, as anvil makes it. The first type is the
    /// message's.
    pub(crate) fn sign(
        &self,
        account: Address,
        domain: Value,
        types: &[(&str, &str)],
        message: Value,
    ) -> Vec<u8> {
        let fields = |list: &str| -> Vec<Value> {
            let field = |field: &str| {
                let (kind, name) = field.split_once(' ').unwrap();
                json!({ "name": name, "type": kind })
            };
            list.split(',').map(field).collect()
        };
        let shape = match domain.get("version") {
            Some(_) => "string name,string version,uint256 chainId,address verifyingContract",
            None => "string name,uint256 chainId,address verifyingContract",
        };
        let mut all = json!({ "EIP712Domain": fields(shape) });
        for (name, list) in types {
            all[*name] = json!(fields(list));
        }
        let typed = json!({
            "types": all, "primaryType": types[0].0, "domain": domain, "message": message,
        });
        let signature = self.rpc("eth_signTypedData_v4", json!([account, typed])).unwrap();
        serde_json::from_value::<Bytes>(signature).unwrap().to_vec()
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        self.anvil.kill().ok();
        self.anvil.wait().ok();
    }
}

/// The anvil that is named, else the one that `scripts/setup` installed, else the one on the PATH.
fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("MARQUE_ANVIL") {
        return named.into();
    }
    // Other crates' tests use this file as well.
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packages = ["node_modules", "../contracts/node_modules"];
    packages
        .iter()
        .filter_map(|packages| std::fs::read_dir(here.join(packages).join("@foundry-rs")).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin/anvil")))
        .find(|path| path.is_file())
        .unwrap_or_else(|| "anvil".into())
}
