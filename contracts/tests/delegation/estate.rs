//! An owner's account with money in it, on a chain that has the whole framework, and an agent to
//! delegate to.

use crate::support::{Chain, Receipt};
use alloy_primitives::{Address, B256, Bytes, U256};
use marque_contracts::{
    Contract, IERC20, TestDollar,
    delegation::{
        Caveat, DEPLOYER, Delegation, Execution, Framework, Nonce, OwnerAccount, Package,
        Permission, RollingSpend, RollingSpendBuilder, SignedDelegation, Terms as _, refusal,
    },
};
use serde_json::{Value, json};

pub(crate) const DOLLAR: u64 = 1_000_000;
pub(crate) const DAY: u64 = 86_400;

/// That of 2026-01-01. The chain begins a day earlier.
pub(crate) const MIDNIGHT: u64 = 1_767_225_600;

/// Everybody on it. The account has 1,000 dollars.
pub(crate) struct Estate {
    pub(crate) chain: Chain,
    pub(crate) framework: Framework,
    pub(crate) token: Address,
    pub(crate) account: Address,
    pub(crate) owner: Address,
    pub(crate) agent: Address,
    pub(crate) helper: Address,
    pub(crate) payee: Address,
    pub(crate) stranger: Address,
    made_of: OwnerAccount,
}

impl Estate {
    pub(crate) fn found() -> Self {
        let chain = Chain::start_with(&["--timestamp", &(MIDNIGHT - DAY).to_string()]);
        let [pauser, owner, agent, helper, payee, stranger] =
            [0, 1, 2, 3, 4, 5].map(|n| chain.accounts[n]);
        let package = Package::find().unwrap_or_else(|error| panic!("{error}"));
        let deployment = package.deployment(Chain::ID, pauser).unwrap();
        for (at, data) in &deployment.transactions {
            let receipt = chain.send(pauser, Some(DEPLOYER), data.clone());
            assert!(receipt.succeeded && !code(&chain, *at).is_empty(), "{at}");
        }
        let framework = deployment.framework;
        let made_of = OwnerAccount::of(owner, B256::ZERO).unwrap();
        let account = made_of.address(&framework);
        let receipt = chain.send(stranger, Some(DEPLOYER), made_of.deployment(&framework));
        assert!(receipt.succeeded);
        let token = chain.deploy(Contract::TestDollar);
        let mint = TestDollar::mintCall { to: account, value: dollars(1_000) };
        assert!(chain.transact(owner, token, mint).succeeded);
        Self { chain, framework, token, account, owner, agent, helper, payee, stranger, made_of }
    }

    /// Rolling limits of the dollar, still without any.
    pub(crate) fn limits(&self) -> RollingSpendBuilder {
        RollingSpend::erc20(self.token)
    }

    /// The account's delegation to the agent under these caveats, signed by the owner.
    pub(crate) fn grant(&self, caveats: impl IntoIterator<Item = Caveat>) -> Permission {
        let delegation = Delegation::root(self.account, self.agent);
        let delegation = caveats.into_iter().fold(delegation, Delegation::with);
        Permission::new([self.sign(&delegation)]).unwrap()
    }

    /// The same under these limits alone.
    pub(crate) fn grant_limits(&self, limits: RollingSpendBuilder) -> Permission {
        self.grant([limits.build().unwrap().caveat(&self.framework)])
    }

    /// The permission handed on to the helper under these limits, signed by the agent.
    pub(crate) fn hand_on(&self, above: &Permission, limits: RollingSpendBuilder) -> Permission {
        let limits = limits.build().unwrap().caveat(&self.framework);
        let below = Delegation::below(leaf(above), self.helper).with(limits);
        above.handed_on(self.sign(&below)).unwrap()
    }

    /// What the owner may do: anything.
    pub(crate) fn of_owner(&self) -> Permission {
        Permission::new([self.sign(&Delegation::root(self.account, self.owner))]).unwrap()
    }

    /// Signed by its delegator as anvil makes the signature, from the types that the framework's
    /// documentation lists: by the owner where that is the account.
    pub(crate) fn sign(&self, delegation: &Delegation) -> SignedDelegation {
        let of_account = delegation.delegator == self.account;
        let signer = if of_account { self.owner } else { delegation.delegator };
        let signature = self.sign_digest_of(delegation, signer);
        let digest = delegation.digest(&self.framework);
        let signature = match of_account {
            true => self.made_of.signature(digest, [&signature[..]]).unwrap(),
            false => signature.into(),
        };
        delegation.clone().signed(signature)
    }

    /// `signer`'s signature of a delegation, whoever its delegator is.
    pub(crate) fn sign_digest_of(&self, delegation: &Delegation, signer: Address) -> Vec<u8> {
        let types = [
            (
                "Delegation",
                "address delegate,address delegator,bytes32 authority,Caveat[] caveats,uint256 salt",
            ),
            ("Caveat", "address enforcer,bytes terms"),
        ];
        let domain = json!({
            "name": "DelegationManager", "version": "1", "chainId": Chain::ID,
            "verifyingContract": self.framework.manager,
        });
        let message = serde_json::to_value(delegation).unwrap();
        self.chain.sign(signer, domain, &types, message)
    }

    /// A transfer of dollars out of the account, in base units.
    pub(crate) fn transfer(&self, payee: Address, units: u64) -> Execution {
        Execution::transfer(self.token, payee, U256::from(units))
    }

    /// The redeemer redeems.
    pub(crate) fn redeem(&self, permission: &Permission, execution: &Execution) -> Receipt {
        self.send(permission.redeemer(), permission.redeem(execution))
    }

    /// The redeemer pays the payee `units` at the second `at`; whether that went through.
    pub(crate) fn pays(&self, permission: &Permission, units: u64, at: u64) -> bool {
        self.chain.next_block_at(at);
        let before = self.got();
        let succeeded = self.redeem(permission, &self.transfer(self.payee, units)).succeeded;
        let paid = self.got() - before;
        assert_eq!(paid, if succeeded { units } else { 0 });
        succeeded
    }

    /// Sends `data` to the manager.
    pub(crate) fn send(&self, from: Address, data: Bytes) -> Receipt {
        self.chain.send(from, Some(self.framework.manager), data)
    }

    /// Why the chain would refuse the redeemer now, in words; `"accepted"` where it would not.
    pub(crate) fn answer(&self, permission: &Permission, execution: &Execution) -> String {
        self.answer_to(permission.redeemer(), &permission.redeem(execution))
    }

    pub(crate) fn answer_to(&self, from: Address, data: &Bytes) -> String {
        match refused(&self.chain, from, self.framework.manager, data) {
            None => "accepted".to_owned(),
            Some(data) => refusal(&data).unwrap_or_else(|| format!("{}", Bytes::from(data))),
        }
    }

    /// What the owner has the account do.
    pub(crate) fn owner_does(&self, execution: &Execution) -> Receipt {
        let receipt = self.redeem(&self.of_owner(), execution);
        assert!(receipt.succeeded);
        receipt
    }

    /// A caveat that names this nonce of the account's.
    pub(crate) fn nonce(&self, nonce: u64) -> Caveat {
        Nonce(U256::from(nonce)).caveat(&self.framework)
    }

    /// Dollars of the payee's, in base units.
    pub(crate) fn got(&self) -> u64 {
        self.chain.call(self.token, IERC20::balanceOfCall { account: self.payee }).unwrap().to()
    }
}

/// What the first delegation of a permission says.
pub(crate) fn leaf(permission: &Permission) -> &Delegation {
    &permission.delegations().next().unwrap().delegation
}

/// The code at `at`.
pub(crate) fn code(chain: &Chain, at: Address) -> Bytes {
    serde_json::from_value(chain.rpc("eth_getCode", json!([at, "latest"])).unwrap()).unwrap()
}

/// The gas that the latest block used, which is that of the latest transaction.
pub(crate) fn gas_used(chain: &Chain) -> u64 {
    let block = chain.rpc("eth_getBlockByNumber", json!(["latest", false])).unwrap();
    serde_json::from_value::<U256>(block["gasUsed"].clone()).unwrap().to()
}

/// What `from` would be refused with, were it to call `to` in the latest block.
fn refused(chain: &Chain, from: Address, to: Address, data: &Bytes) -> Option<Vec<u8>> {
    let call = json!([{ "from": from, "to": to, "data": data }, "latest"]);
    let error: Value = serde_json::from_str(&chain.rpc("eth_call", call).err()?).unwrap();
    let data = serde_json::from_value::<Bytes>(error["data"].clone());
    Some(data.unwrap_or_else(|_| panic!("{error}")).to_vec())
}

pub(crate) fn dollars(n: u64) -> U256 {
    U256::from(n * 1_000_000)
}
