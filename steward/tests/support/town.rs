//! A development chain with a dollar, and homes whose agents have some.

use super::{CHAIN, homes, owner, pay_in, policy_for};
use alloy_primitives::{Address, U256};
use marque_contracts::{Contract, bytecode};
use marque_identity::{BlockTag, Devnet, devnet};
use marque_policies::{
    AssetId, Intent, Money,
    intent::{Authorise, PermitTransfer, PermitVia, Settle, SettlePermit},
};
use marque_steward::Home;
use marque_steward_client::{Authorisation, SignedPermit};
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Town {
    pub(crate) devnet: Devnet,
    pub(crate) token: Address,
    pub(crate) dir: tempfile::TempDir,
}

impl Town {
    pub(crate) async fn new() -> Self {
        let devnet = Devnet::start(&devnet::Options::default()).await.unwrap();
        let token = devnet.deploy(bytecode(Contract::TestDollar)).await.unwrap();
        Self { devnet, token, dir: tempfile::tempdir().unwrap() }
    }

    /// A home whose agent may pay `shop`, with money and gas.
    pub(crate) async fn home(&self, agent: &str, shop: Address) -> (Home, Address) {
        self.home_at(agent, agent, shop).await
    }

    /// The same, in a folder of this name.
    pub(crate) async fn home_at(
        &self,
        folder: &str,
        agent: &str,
        shop: Address,
    ) -> (Home, Address) {
        let genesis = self.devnet.rpc().genesis_hash().await.unwrap();
        let path = self.dir.path().join(folder);
        let (home, key) = homes::home(&path, agent, genesis, |_| {
            policy_for(1, owner().address(), self.devnet.url(), self.token, shop)
        });
        self.devnet.give_eth(key, U256::from(10_u64.pow(18))).await.unwrap();
        self.devnet.mint(self.token, key, U256::from(5_000_000)).await.unwrap();
        (home, key)
    }

    pub(crate) fn usdc(&self, units: u64) -> Money {
        Money::new(U256::from(units), AssetId { chain: CHAIN, token: self.token })
    }

    /// Lets block time pass, in seconds.
    pub(crate) async fn pass(&self, seconds: u64) {
        self.ask("evm_increaseTime", serde_json::json!([seconds])).await;
        self.leap().await;
    }

    /// Blocks at a new time. What a steward heard of the newest one is good for a moment.
    async fn leap(&self) {
        self.devnet.mine(3).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }

    /// From now on blocks come when they are asked for, and each is a second after the one before:
    /// however slow the machine is, block time does not run away.
    pub(crate) async fn hold_time(&self) {
        self.devnet.set_interval(0).await.unwrap();
        self.ask("anvil_setBlockTimestampInterval", serde_json::json!([1])).await;
    }

    /// Time of the newest block, Unix seconds.
    pub(crate) async fn time(&self) -> u64 {
        self.devnet.rpc().block(BlockTag::Latest).await.unwrap().timestamp
    }

    /// The next block has this time, Unix seconds, and two more follow.
    pub(crate) async fn come_to(&self, time: u64) {
        self.ask("evm_setNextBlockTimestamp", serde_json::json!([time])).await;
        self.leap().await;
    }

    /// Asks the chain's endpoint something that no client of ours asks.
    pub(crate) async fn ask(&self, method: &str, params: serde_json::Value) -> serde_json::Value {
        self.ask_all(method, vec![params]).await.remove(0)
    }

    /// The same question with many parameters, in one request.
    pub(crate) async fn ask_all(
        &self,
        method: &str,
        params: Vec<serde_json::Value>,
    ) -> Vec<serde_json::Value> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let question = |(id, params)| serde_json::json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let many = params.len();
        let calls: Vec<_> = params.into_iter().enumerate().map(question).collect();
        let calls = serde_json::to_string(&calls).unwrap();
        let host = self.devnet.url().trim_start_matches("http://").to_owned();
        let mut stream = tokio::net::TcpStream::connect(&host).await.unwrap();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            calls.len()
        );
        stream.write_all(format!("{head}{calls}").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let start = body.find('[').unwrap_or_default();
        let end = body.rfind(']').map_or(0, |end| end + 1);
        let mut answers: Vec<serde_json::Value> =
            serde_json::from_slice(&body.as_bytes()[start..end]).unwrap();
        assert_eq!(answers.len(), many);
        answers.sort_by_key(|answer| answer["id"].as_u64());
        let result = |answer: serde_json::Value| {
            assert!(answer.get("result").is_some(), "{method}: {answer}");
            answer["result"].clone()
        };
        answers.into_iter().map(result).collect()
    }

    pub(crate) async fn balance(&self, of: Address) -> u64 {
        self.devnet.rpc().erc20_balance(self.token, of).await.unwrap().to()
    }

    pub(crate) fn pay(&self, to: Address, units: u64) -> Intent {
        let Intent::Authorise(mut pay) = pay_in(self.usdc(units)) else { panic!() };
        pay.to = to;
        Intent::Authorise(pay)
    }

    /// The same by Permit2, for at most so much.
    pub(crate) fn permit(&self, to: Address, units: u64, via: PermitVia) -> Intent {
        let Intent::Authorise(pay) = self.pay(to, units) else { panic!() };
        let Authorise { payee, to, amount, host, resource, labels } = pay;
        Intent::PermitTransfer(PermitTransfer { payee, to, amount, host, resource, via, labels })
    }

    /// The seller's side of it: takes `charge`.
    pub(crate) fn settle_permit(&self, permit: &SignedPermit, charge: u64) -> Intent {
        let asset = AssetId { chain: CHAIN, token: permit.token };
        Intent::SettlePermit(SettlePermit {
            from: permit.from,
            to: permit.to,
            amount: Money::new(permit.amount, asset),
            charge: Money::new(U256::from(charge), asset),
            via: match permit.facilitator {
                None => PermitVia::Exact,
                Some(facilitator) => PermitVia::Upto { facilitator },
            },
            valid_after: permit.valid_after,
            deadline: permit.deadline,
            nonce: permit.nonce,
            signature: alloy_primitives::hex::encode_prefixed(&permit.signature),
            resource: "http://feed.example/wind".into(),
        })
    }

    pub(crate) fn settle(&self, a: &Authorisation) -> Intent {
        Intent::Settle(Settle {
            from: a.from,
            to: a.to,
            amount: Money::new(a.value, AssetId { chain: CHAIN, token: self.token }),
            valid_after: a.valid_after,
            valid_before: a.valid_before,
            nonce: a.nonce,
            signature: alloy_primitives::hex::encode_prefixed(&a.signature),
            resource: "http://feed.example/wind".into(),
        })
    }
}

/// The call that settles an authorisation.
pub(crate) fn call(made: &Authorisation) -> alloy_primitives::Bytes {
    use alloy_sol_types::SolCall as _;
    let call = marque_contracts::IERC3009Bytes::transferWithAuthorizationCall {
        from: made.from,
        to: made.to,
        value: made.value,
        validAfter: U256::from(made.valid_after),
        validBefore: U256::from(made.valid_before),
        nonce: made.nonce,
        signature: made.signature.clone(),
    };
    call.abi_encode().into()
}
