//! The identity registry on a real chain: what ERC-8004 promises about agents and their wallets.

#![cfg(test)]

mod support;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::sol;
use marque_contracts::{Contract, IdentityRegistry, agent_wallet_set_digest, recover};
use serde_json::json;
use support::{Chain, Receipt};

sol! {
    interface Erc721 {
        function transferFrom(address from, address to, uint256 tokenId) external;
        function setApprovalForAll(address operator, bool approved) external;
    }
}

/// A chain with the registry, in which `owner` registered agent 0.
struct Office {
    chain: Chain,
    registry: Address,
    owner: Address,
    wallet: Address,
    stranger: Address,
}

const AGENT: U256 = U256::ZERO;

impl Office {
    fn open() -> Self {
        let chain = Chain::start();
        let registry = chain.deploy(Contract::IdentityRegistry);
        let [owner, wallet, stranger] = [chain.accounts[1], chain.accounts[2], chain.accounts[3]];
        let register =
            IdentityRegistry::register_1Call { agentURI: "https://feed.example/agent".to_owned() };
        let receipt = chain.transact(owner, registry, register);
        assert_eq!(
            receipt.events::<IdentityRegistry::Registered>(),
            [IdentityRegistry::Registered {
                agentId: AGENT,
                agentURI: "https://feed.example/agent".to_owned(),
                owner,
            }]
        );
        Self { chain, registry, owner, wallet, stranger }
    }

    /// The wallet's consent, as anvil signs it for the account `signer`.
    fn consent(&self, signer: Address, owner: Address, deadline: u64) -> Vec<u8> {
        self.chain.sign(
            signer,
            json!({
                "name": "ERC8004IdentityRegistry", "version": "1",
                "chainId": Chain::ID, "verifyingContract": self.registry,
            }),
            &[(
                "AgentWalletSet",
                "uint256 agentId,address newWallet,address owner,uint256 deadline",
            )],
            json!({
                "agentId": "0", "newWallet": self.wallet,
                "owner": owner, "deadline": deadline.to_string(),
            }),
        )
    }

    fn set_wallet(
        &self,
        caller: Address,
        wallet: Address,
        deadline: u64,
        signature: Vec<u8>,
    ) -> Receipt {
        let call = IdentityRegistry::setAgentWalletCall {
            agentId: AGENT,
            newWallet: wallet,
            deadline: U256::from(deadline),
            signature: signature.into(),
        };
        self.chain.transact(caller, self.registry, call)
    }

    fn wallet(&self) -> Address {
        self.chain
            .call(self.registry, IdentityRegistry::getAgentWalletCall { agentId: AGENT })
            .unwrap()
    }

    fn metadata(&self, key: &str) -> Bytes {
        let call =
            IdentityRegistry::getMetadataCall { agentId: AGENT, metadataKey: key.to_owned() };
        self.chain.call(self.registry, call).unwrap()
    }
}

#[test]
fn agents_are_numbered_from_zero_and_paid_at_their_registrant() {
    let office = Office::open();
    assert_eq!(office.wallet(), office.owner);
    assert_eq!(office.metadata("agentWallet"), Bytes::copy_from_slice(office.owner.as_slice()));

    let receipt = office.chain.transact(
        office.stranger,
        office.registry,
        IdentityRegistry::register_0Call {},
    );
    assert_eq!(receipt.events::<IdentityRegistry::Registered>()[0].agentId, U256::ONE);
    let owner_of =
        |id| office.chain.call(office.registry, IdentityRegistry::ownerOfCall { tokenId: id });
    assert_eq!(owner_of(U256::ZERO), Ok(office.owner));
    assert_eq!(owner_of(U256::ONE), Ok(office.stranger));
    assert!(owner_of(U256::from(2)).is_err());
}

#[test]
fn a_wallet_that_agreed_is_set() {
    let office = Office::open();
    let deadline = office.chain.now() + 60;
    let consent = office.consent(office.wallet, office.owner, deadline);
    let digest = agent_wallet_set_digest(
        Chain::ID,
        office.registry,
        AGENT,
        office.wallet,
        office.owner,
        deadline,
    );
    assert_eq!(recover(digest, &consent), Ok(office.wallet));
    assert!(office.set_wallet(office.owner, office.wallet, deadline, consent).succeeded);
    assert_eq!(office.wallet(), office.wallet);
}

#[test]
fn a_wallet_that_did_not_agree_is_refused() {
    let office = Office::open();
    let deadline = office.chain.now() + 60;
    let refused = |caller, signature| {
        let receipt = office.set_wallet(caller, office.wallet, deadline, signature);
        assert!(!receipt.succeeded);
        assert_eq!(office.wallet(), office.owner);
    };
    refused(office.owner, office.consent(office.owner, office.owner, deadline));
    refused(office.owner, office.consent(office.wallet, office.stranger, deadline));
    refused(office.owner, office.consent(office.wallet, office.owner, deadline + 1));
    refused(office.owner, Vec::new());
    refused(office.stranger, office.consent(office.wallet, office.owner, deadline));
}

#[test]
fn consent_holds_until_its_deadline_and_at_most_five_minutes() {
    let office = Office::open();
    let start = office.chain.now() + 10;
    let set_at = |at: u64, deadline: u64| {
        let consent = office.consent(office.wallet, office.owner, deadline);
        office.chain.next_block_at(at);
        office.set_wallet(office.owner, office.wallet, deadline, consent).succeeded
    };
    assert!(!set_at(start, start - 1));
    assert!(!set_at(start + 1, start + 302));
    assert!(set_at(start + 2, start + 2));
    assert!(set_at(start + 3, start + 303));
}

#[test]
fn a_contract_wallet_agrees_by_its_own_judgement() {
    let office = Office::open();
    let wallet = Address::repeat_byte(0x12);
    let deadline = office.chain.now() + 60;
    assert!(
        !office.set_wallet(office.owner, wallet, deadline, vec![1]).succeeded,
        "it has no code yet"
    );
    office.chain.put_trusting_wallet(wallet);
    assert!(office.set_wallet(office.owner, wallet, deadline, vec![1]).succeeded);
    assert_eq!(office.wallet(), wallet);
}

#[test]
fn a_new_owner_starts_without_a_wallet() {
    let office = Office::open();
    let transfer =
        Erc721::transferFromCall { from: office.owner, to: office.stranger, tokenId: AGENT };
    let receipt = office.chain.transact(office.owner, office.registry, transfer);
    assert!(receipt.succeeded);
    assert_eq!(receipt.events::<IdentityRegistry::MetadataSet>()[0].metadataValue, Bytes::new());
    assert_eq!(office.wallet(), Address::ZERO);
    assert_eq!(office.metadata("agentWallet"), Bytes::new());
}

#[test]
fn a_wallet_can_be_taken_away() {
    let office = Office::open();
    let unset = || IdentityRegistry::unsetAgentWalletCall { agentId: AGENT };
    assert!(!office.chain.transact(office.stranger, office.registry, unset()).succeeded);
    assert!(office.chain.transact(office.owner, office.registry, unset()).succeeded);
    assert_eq!(office.wallet(), Address::ZERO);
}

#[test]
fn the_wallet_cannot_be_set_as_metadata() {
    let office = Office::open();
    let entry = |key: &str| IdentityRegistry::MetadataEntry {
        metadataKey: key.to_owned(),
        metadataValue: Bytes::copy_from_slice(office.stranger.as_slice()),
    };
    let set = |key: &str| {
        let IdentityRegistry::MetadataEntry { metadataKey, metadataValue } = entry(key);
        let call = IdentityRegistry::setMetadataCall { agentId: AGENT, metadataKey, metadataValue };
        office.chain.transact(office.owner, office.registry, call).succeeded
    };
    assert!(!set("agentWallet"));
    assert!(set("agentwallet"), "only the one key is reserved");

    let register = |key: &str| {
        let call = IdentityRegistry::register_2Call {
            agentURI: String::new(),
            metadata: vec![entry(key)],
        };
        office.chain.transact(office.owner, office.registry, call)
    };
    assert!(!register("agentWallet").succeeded);
    let receipt = register("model");
    let set = receipt.events::<IdentityRegistry::MetadataSet>();
    assert_eq!(
        set.iter().map(|e| e.metadataKey.as_str()).collect::<Vec<_>>(),
        ["agentWallet", "model"]
    );
}

#[test]
fn owners_and_their_operators_change_an_agent_and_nobody_else() {
    let office = Office::open();
    let set = |caller, uri: &str| {
        let call = IdentityRegistry::setAgentURICall { agentId: AGENT, newURI: uri.to_owned() };
        office.chain.transact(caller, office.registry, call).succeeded
    };
    let authorized = || {
        let call =
            IdentityRegistry::isAuthorizedOrOwnerCall { spender: office.stranger, agentId: AGENT };
        office.chain.call(office.registry, call).unwrap()
    };
    assert!(!set(office.stranger, "https://evil.example"));
    assert!(!authorized());
    let approve = Erc721::setApprovalForAllCall { operator: office.stranger, approved: true };
    assert!(office.chain.transact(office.owner, office.registry, approve).succeeded);
    assert!(authorized());
    assert!(set(office.stranger, "https://feed.example/v2"));
    let uri = office.chain.call(office.registry, IdentityRegistry::tokenURICall { tokenId: AGENT });
    assert_eq!(uri.as_deref(), Ok("https://feed.example/v2"));

    let deadline = office.chain.now() + 60;
    let consent = |owner| office.consent(office.wallet, owner, deadline);
    let set =
        |consent| office.set_wallet(office.stranger, office.wallet, deadline, consent).succeeded;
    assert!(
        !set(consent(office.stranger)),
        "the wallet agrees with the owner, not with the operator"
    );
    assert!(set(consent(office.owner)));
}

#[test]
fn consent_for_another_registry_or_chain_is_another_digest() {
    let digest = |chain, registry| {
        agent_wallet_set_digest(chain, registry, AGENT, Address::ZERO, Address::ZERO, 0)
    };
    let here: B256 = digest(1, Address::ZERO);
    assert_ne!(here, digest(2, Address::ZERO));
    assert_ne!(here, digest(1, Address::repeat_byte(1)));
}
