//! The identity registry of ERC-8004, and the message by which a wallet agrees to serve an agent.
//!
//! The binding fits the registries on public networks and the one in `solidity/` alike. An agent is an
//! ERC-721 token: its holder owns it, its URI names the registration file, its wallet is where it is
//! paid.

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{Eip712Domain, SolStruct, sol};

sol! {
    /// The registry. Overloads are numbered in the order in which they stand here:
    /// `register_0Call()`, `register_1Call(agentURI)`, `register_2Call(agentURI, metadata)`.
    #[derive(Debug, PartialEq, Eq)]
    interface IdentityRegistry {
        /// One metadata entry of a registration.
        struct MetadataEntry {
            /// Any key but `agentWallet`.
            string metadataKey;
            /// Its value.
            bytes metadataValue;
        }

        /// An agent was registered; its wallet is `owner` until another is set.
        event Registered(uint256 indexed agentId, string agentURI, address indexed owner);
        /// A metadata entry was set; the wallet is the one under `agentWallet`, 20 bytes or empty.
        event MetadataSet(
            uint256 indexed agentId,
            string indexed indexedMetadataKey,
            string metadataKey,
            bytes metadataValue
        );
        /// The agent has another registration file.
        event URIUpdated(uint256 indexed agentId, string newURI, address indexed updatedBy);
        /// The agent has another owner, and no wallet any more.
        event Transfer(address indexed from, address indexed to, uint256 indexed tokenId);

        /// Whether the contract speaks an interface (ERC-165).
        function supportsInterface(bytes4 interfaceId) external view returns (bool);

        /// Registers an agent that gets its URI later.
        function register() external returns (uint256 agentId);
        /// Registers an agent whose registration file is at `agentURI`.
        function register(string agentURI) external returns (uint256 agentId);
        /// Registers an agent with a registration file and metadata.
        function register(string agentURI, MetadataEntry[] metadata) external returns (uint256 agentId);
        /// Points the agent at another registration file.
        function setAgentURI(uint256 agentId, string newURI) external;

        /// The value under a key, empty when there is none.
        function getMetadata(uint256 agentId, string metadataKey) external view returns (bytes);
        /// Sets any metadata but the wallet.
        function setMetadata(uint256 agentId, string metadataKey, bytes metadataValue) external;

        /// Where the agent is paid; zero when no wallet is set.
        function getAgentWallet(uint256 agentId) external view returns (address);
        /// Sets the wallet, which signed [`AgentWalletSet`]; `deadline` is at most 300 s of block time
        /// ahead.
        function setAgentWallet(uint256 agentId, address newWallet, uint256 deadline, bytes signature) external;
        /// Clears the wallet.
        function unsetAgentWallet(uint256 agentId) external;

        /// Whether `spender` owns the agent or acts for its owner.
        function isAuthorizedOrOwner(address spender, uint256 agentId) external view returns (bool);
        /// Who owns the agent; reverts where there is none of that id.
        function ownerOf(uint256 tokenId) external view returns (address);
        /// Where the registration file is.
        function tokenURI(uint256 tokenId) external view returns (string);
        /// Version of the interface.
        function getVersion() external pure returns (string);
    }

    /// The EIP-712 message by which a wallet agrees to be paid for an agent of this owner.
    #[derive(Debug, PartialEq, Eq)]
    struct AgentWalletSet {
        /// The agent.
        uint256 agentId;
        /// The wallet, which signs.
        address newWallet;
        /// The agent's present owner.
        address owner;
        /// Unix seconds of block time until which the consent holds.
        uint256 deadline;
    }
}

/// The digest that `new_wallet` signs: [`AgentWalletSet`] under the domain of the `registry` on
/// `chain`.
///
/// `owner` is who owns the agent now, and `deadline` is in Unix seconds of block time, at most 300 s
/// ahead.
#[must_use]
pub fn agent_wallet_set_digest(
    chain: u64,
    registry: Address,
    agent_id: U256,
    new_wallet: Address,
    owner: Address,
    deadline: u64,
) -> B256 {
    let domain = Eip712Domain::new(
        Some("ERC8004IdentityRegistry".into()),
        Some("1".into()),
        Some(U256::from(chain)),
        Some(registry),
        None,
    );
    AgentWalletSet {
        agentId: agent_id,
        newWallet: new_wallet,
        owner,
        deadline: U256::from(deadline),
    }
    .eip712_signing_hash(&domain)
}
