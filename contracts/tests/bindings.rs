//! The Rust bindings and the compiled contracts are two descriptions of one interface; here they are
//! compared, so that neither can change alone.

#![cfg(test)]

use alloy_primitives::{B256, b256, keccak256};
use alloy_sol_types::{SolEventInterface, SolInterface, SolStruct};
use marque_contracts::{
    Contract, IERC20, IERC3009, IERC3009Bytes, IdentityRegistry, TestDollar, bytecode, delegation,
    everywhere,
    permit2::{IERC20Approve, IExactProxy, IPermit2, IUptoProxy},
    registry, token,
};
use serde_json::Value;
use std::{collections::BTreeSet, path::Path};

fn artifact(name: &str) -> Value {
    serde_json::from_str(&text(&format!("artifacts/{name}.json"))).unwrap()
}

/// Of ours from the artifact, of the framework's from its npm package: a module that holds one array.
fn abi(name: &str) -> Value {
    let package = "node_modules/@metamask/delegation-abis/dist/abis";
    let own = format!("{}/artifacts/{name}.json", env!("CARGO_MANIFEST_DIR"));
    if Path::new(&own).exists() {
        return artifact(name)["abi"].take();
    }
    let module = text(&format!("{package}/{name}.mjs"));
    let (begin, end) = (module.find('[').unwrap(), module.rfind("];").unwrap());
    serde_json::from_str(module.get(begin..=end).unwrap()).unwrap()
}

fn text(file: &str) -> String {
    let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}; run npm ci"))
}

/// `name(type,...)` as selectors are made of, tuples written out.
fn signature(item: &Value) -> String {
    fn types(params: &Value) -> String {
        let types: Vec<String> = params
            .as_array()
            .unwrap()
            .iter()
            .map(|param| match param["type"].as_str().unwrap().strip_prefix("tuple") {
                Some(array) => format!("({}){array}", types(&param["components"])),
                None => param["type"].as_str().unwrap().to_owned(),
            })
            .collect();
        types.join(",")
    }
    format!("{}({})", item["name"].as_str().unwrap(), types(&item["inputs"]))
}

fn hashes(name: &str, kind: &str) -> BTreeSet<B256> {
    abi(name)
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["type"] == kind)
        .map(|item| keccak256(signature(item)))
        .collect()
}

fn assert_calls<I: SolInterface>(name: &str) {
    let compiled: BTreeSet<[u8; 4]> =
        hashes(name, "function").iter().map(|hash| hash[..4].try_into().unwrap()).collect();
    for selector in I::selectors() {
        assert!(compiled.contains(&selector), "{name} has no function 0x{}", hex::encode(selector));
    }
    assert!(I::COUNT > 0);
}

fn assert_errors<E: SolInterface>(name: &str) {
    let compiled: BTreeSet<[u8; 4]> =
        hashes(name, "error").iter().map(|hash| hash[..4].try_into().unwrap()).collect();
    for selector in E::selectors() {
        assert!(compiled.contains(&selector), "{name} has no error 0x{}", hex::encode(selector));
    }
    assert!(E::COUNT > 0);
}

fn assert_events<E: SolEventInterface>(name: &str, topics: &[B256]) {
    let compiled = hashes(name, "event");
    assert_eq!(topics.len(), E::COUNT);
    for topic in topics {
        assert!(compiled.contains(topic), "{name} has no event {topic}");
    }
}

#[test]
fn bindings_are_those_of_the_compiled_contracts() {
    assert_calls::<IERC20::IERC20Calls>("TestDollar");
    assert_calls::<IERC3009::IERC3009Calls>("TestDollar");
    assert_calls::<IERC3009Bytes::IERC3009BytesCalls>("TestDollar");
    assert_calls::<TestDollar::TestDollarCalls>("TestDollar");
    assert_calls::<IdentityRegistry::IdentityRegistryCalls>("IdentityRegistry");
    assert_calls::<IERC20Approve::IERC20ApproveCalls>("TestDollar");
    assert_calls::<IPermit2::IPermit2Calls>("Permit2");
    assert_calls::<IExactProxy::IExactProxyCalls>("X402ExactProxy");
    assert_calls::<IUptoProxy::IUptoProxyCalls>("X402UptoProxy");

    let topics =
        |selectors: &[[u8; 32]]| selectors.iter().copied().map(B256::from).collect::<Vec<_>>();
    assert_events::<IERC20::IERC20Events>("TestDollar", &topics(IERC20::IERC20Events::SELECTORS));
    assert_events::<IERC3009::IERC3009Events>(
        "TestDollar",
        &topics(IERC3009::IERC3009Events::SELECTORS),
    );
    assert_events::<IdentityRegistry::IdentityRegistryEvents>(
        "IdentityRegistry",
        &topics(IdentityRegistry::IdentityRegistryEvents::SELECTORS),
    );
    assert_events::<IPermit2::IPermit2Events>(
        "Permit2",
        &topics(IPermit2::IPermit2Events::SELECTORS),
    );
}

#[test]
fn bindings_are_those_of_the_delegation_framework() {
    use marque_contracts::delegation::binding::{
        IDelegationManager as Manager, IErc20PeriodEnforcer as Erc20Period,
        IErc20TotalEnforcer as Erc20Total, ILimitedCallsEnforcer as LimitedCalls,
        IMultiSigAccount as Account, INativePeriodEnforcer as NativePeriod,
        INonceEnforcer as Nonce, IRollingSpendEnforcer as RollingSpend,
    };
    assert_calls::<Manager::IDelegationManagerCalls>("DelegationManager");
    assert_errors::<Manager::IDelegationManagerErrors>("DelegationManager");
    assert_calls::<Account::IMultiSigAccountCalls>("MultiSigDeleGator");
    assert_calls::<Nonce::INonceEnforcerCalls>("NonceEnforcer");
    assert_calls::<Erc20Period::IErc20PeriodEnforcerCalls>("ERC20PeriodTransferEnforcer");
    assert_calls::<Erc20Total::IErc20TotalEnforcerCalls>("ERC20TransferAmountEnforcer");
    assert_calls::<LimitedCalls::ILimitedCallsEnforcerCalls>("LimitedCallsEnforcer");
    assert_calls::<NativePeriod::INativePeriodEnforcerCalls>("NativeTokenPeriodTransferEnforcer");
    assert_calls::<RollingSpend::IRollingSpendEnforcerCalls>("RollingSpendEnforcer");
    assert_errors::<RollingSpend::IRollingSpendEnforcerErrors>("RollingSpendEnforcer");

    let topics =
        |selectors: &[[u8; 32]]| selectors.iter().copied().map(B256::from).collect::<Vec<_>>();
    assert_events::<Manager::IDelegationManagerEvents>(
        "DelegationManager",
        &topics(Manager::IDelegationManagerEvents::SELECTORS),
    );
    assert_events::<Nonce::INonceEnforcerEvents>(
        "NonceEnforcer",
        &topics(Nonce::INonceEnforcerEvents::SELECTORS),
    );
    assert_events::<RollingSpend::IRollingSpendEnforcerEvents>(
        "RollingSpendEnforcer",
        &topics(RollingSpend::IRollingSpendEnforcerEvents::SELECTORS),
    );
}

/// The enforcer of our own fits the hooks that a manager calls.
#[test]
fn our_enforcer_has_the_hooks_of_the_framework() {
    let hooks = hashes("ICaveatEnforcer", "function");
    assert_eq!(hooks.len(), 4);
    assert!(hooks.is_subset(&hashes("RollingSpendEnforcer", "function")));
}

#[test]
fn code_hashes_are_those_of_the_artifacts() {
    let deployed = |name: &str| {
        let code = artifact(name)["deployedBytecode"].as_str().unwrap().to_owned();
        keccak256(hex::decode(code.trim_start_matches("0x")).unwrap())
    };
    assert_eq!(deployed("RollingSpendEnforcer"), delegation::ROLLING_SPEND);
    assert_eq!(deployed("AccountProxy"), delegation::ACCOUNT_PROXY);
}

#[test]
fn bytecode_is_that_of_the_artifact() {
    for (contract, name) in [
        (Contract::AccountProxy, "AccountProxy"),
        (Contract::IdentityRegistry, "IdentityRegistry"),
        (Contract::RollingSpendEnforcer, "RollingSpendEnforcer"),
        (Contract::TestDollar, "TestDollar"),
    ] {
        assert_eq!(artifact(name)["bytecode"], format!("{}", bytecode(contract)), "{name}");
    }
    for ((_, code), name) in everywhere().iter().zip(["Permit2", "X402ExactProxy", "X402UptoProxy"])
    {
        assert_eq!(artifact(name)["deployedBytecode"], format!("{code}"), "{name}");
    }
}

#[test]
fn type_hashes_are_those_of_the_standards() {
    let none = alloy_primitives::Address::ZERO;
    let transfer = token::TransferWithAuthorization {
        from: none,
        to: none,
        value: Default::default(),
        validAfter: Default::default(),
        validBefore: Default::default(),
        nonce: B256::ZERO,
    };
    // The constants of USDC's verified source.
    assert_eq!(
        transfer.eip712_type_hash(),
        b256!("7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267")
    );
    assert_eq!(
        token::CancelAuthorization { authorizer: none, nonce: B256::ZERO }.eip712_type_hash(),
        b256!("158b0a9edf7a828aad02f63cd515c68ef2f50ba807396f6d12842833a1597429")
    );
    assert_eq!(
        registry::AgentWalletSet::eip712_root_type(),
        "AgentWalletSet(uint256 agentId,address newWallet,address owner,uint256 deadline)"
    );
}
