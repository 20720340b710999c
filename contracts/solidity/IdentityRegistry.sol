// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {ERC721URIStorage} from "@openzeppelin/contracts/token/ERC721/extensions/ERC721URIStorage.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// @title The identity registry of ERC-8004, for chains that have none
/// @notice An agent is an ERC-721 token: whoever holds it owns the agent, its URI names the agent's
/// registration file, and its wallet is where the agent is paid.
/// @dev Not upgradeable and without an administrator. Function, event and EIP-712 signatures are those of
/// the registries on public networks, so that clients need to know one interface only.
contract IdentityRegistry is ERC721URIStorage, EIP712 {
    /// @notice One metadata entry of a registration.
    struct MetadataEntry {
        string metadataKey;
        bytes metadataValue;
    }

    event Registered(uint256 indexed agentId, string agentURI, address indexed owner);
    event MetadataSet(
        uint256 indexed agentId,
        string indexed indexedMetadataKey,
        string metadataKey,
        bytes metadataValue
    );
    event URIUpdated(uint256 indexed agentId, string newURI, address indexed updatedBy);

    /// @notice The caller neither owns the agent nor acts for its owner.
    error NotAuthorized(uint256 agentId, address caller);
    /// @notice "agentWallet" is set by `setAgentWallet` alone.
    error ReservedMetadataKey();
    /// @notice A wallet is cleared by `unsetAgentWallet`, not by setting it to zero.
    error ZeroWallet();
    /// @notice The wallet's consent has run out, or is dated more than `MAX_DEADLINE_DELAY` ahead.
    error BadDeadline(uint256 deadline);
    /// @notice The new wallet did not sign this assignment.
    error InvalidWalletSignature();

    /// @notice How far ahead a wallet's consent may be dated, in seconds.
    uint256 public constant MAX_DEADLINE_DELAY = 5 minutes;

    bytes32 private constant AGENT_WALLET_SET_TYPEHASH =
        keccak256("AgentWalletSet(uint256 agentId,address newWallet,address owner,uint256 deadline)");
    string private constant WALLET_KEY = "agentWallet";
    bytes32 private constant WALLET_KEY_HASH = keccak256(bytes(WALLET_KEY));

    uint256 private _nextId;
    mapping(uint256 agentId => mapping(string key => bytes value)) private _metadata;

    constructor() ERC721("AgentIdentity", "AGENT") EIP712("ERC8004IdentityRegistry", "1") {}

    /// @notice Version of the interface, as the public registries report it.
    function getVersion() external pure returns (string memory) {
        return "2.0.0";
    }

    /// @notice Registers an agent that gets its URI later.
    function register() external returns (uint256 agentId) {
        return _register("", new MetadataEntry[](0));
    }

    /// @notice Registers an agent whose registration file is at `agentURI`.
    function register(string calldata agentURI) external returns (uint256 agentId) {
        return _register(agentURI, new MetadataEntry[](0));
    }

    /// @notice Registers an agent with a registration file and metadata.
    function register(
        string calldata agentURI,
        MetadataEntry[] calldata metadata
    ) external returns (uint256 agentId) {
        return _register(agentURI, metadata);
    }

    /// @notice Points the agent at another registration file.
    function setAgentURI(uint256 agentId, string calldata newURI) external {
        _requireAuthorized(agentId);
        _setTokenURI(agentId, newURI);
        emit URIUpdated(agentId, newURI, msg.sender);
    }

    /// @notice The value under `metadataKey`, empty when there is none.
    function getMetadata(uint256 agentId, string calldata metadataKey) external view returns (bytes memory) {
        return _metadata[agentId][metadataKey];
    }

    /// @notice Sets any metadata but the wallet.
    function setMetadata(uint256 agentId, string calldata metadataKey, bytes calldata metadataValue) external {
        _requireAuthorized(agentId);
        _setOpenMetadata(agentId, metadataKey, metadataValue);
    }

    /// @notice Where the agent is paid; zero after a transfer, until its new owner sets it.
    function getAgentWallet(uint256 agentId) external view returns (address) {
        _requireOwned(agentId);
        return address(bytes20(_metadata[agentId][WALLET_KEY]));
    }

    /// @notice Sets the wallet, which must have agreed by signing `AgentWalletSet` for the present owner.
    /// @param deadline Unix seconds until which the consent holds, at most `MAX_DEADLINE_DELAY` ahead.
    /// @param signature By `newWallet`: its key's (low s only), else what its contract accepts (ERC-1271).
    function setAgentWallet(
        uint256 agentId,
        address newWallet,
        uint256 deadline,
        bytes calldata signature
    ) external {
        address owner = _requireAuthorized(agentId);
        require(newWallet != address(0), ZeroWallet());
        require(
            block.timestamp <= deadline && deadline <= block.timestamp + MAX_DEADLINE_DELAY,
            BadDeadline(deadline)
        );
        bytes32 digest = _hashTypedDataV4(
            keccak256(abi.encode(AGENT_WALLET_SET_TYPEHASH, agentId, newWallet, owner, deadline))
        );
        // The key first: an account with delegated code (EIP-7702) still has one.
        (address signer, ECDSA.RecoverError failure, ) = ECDSA.tryRecoverCalldata(digest, signature);
        require(
            (failure == ECDSA.RecoverError.NoError && signer == newWallet) ||
                SignatureChecker.isValidERC1271SignatureNowCalldata(newWallet, digest, signature),
            InvalidWalletSignature()
        );
        _setMetadata(agentId, WALLET_KEY, abi.encodePacked(newWallet));
    }

    /// @notice Clears the wallet.
    function unsetAgentWallet(uint256 agentId) external {
        _requireAuthorized(agentId);
        _setMetadata(agentId, WALLET_KEY, "");
    }

    /// @notice Whether `spender` owns the agent or acts for its owner (ERC-721 approval or operator).
    function isAuthorizedOrOwner(address spender, uint256 agentId) external view returns (bool) {
        return _isAuthorized(_requireOwned(agentId), spender, agentId);
    }

    function _register(string memory agentURI, MetadataEntry[] memory metadata) private returns (uint256 agentId) {
        agentId = _nextId++;
        if (bytes(agentURI).length > 0) _setTokenURI(agentId, agentURI);
        emit Registered(agentId, agentURI, msg.sender);
        _setMetadata(agentId, WALLET_KEY, abi.encodePacked(msg.sender));
        for (uint256 i = 0; i < metadata.length; ++i) {
            _setOpenMetadata(agentId, metadata[i].metadataKey, metadata[i].metadataValue);
        }
        // Last, because a contract that registers is called back.
        _safeMint(msg.sender, agentId);
    }

    function _setOpenMetadata(uint256 agentId, string memory key, bytes memory value) private {
        require(keccak256(bytes(key)) != WALLET_KEY_HASH, ReservedMetadataKey());
        _setMetadata(agentId, key, value);
    }

    function _setMetadata(uint256 agentId, string memory key, bytes memory value) private {
        _metadata[agentId][key] = value;
        emit MetadataSet(agentId, key, key, value);
    }

    function _requireAuthorized(uint256 agentId) private view returns (address owner) {
        owner = _requireOwned(agentId);
        require(_isAuthorized(owner, msg.sender, agentId), NotAuthorized(agentId, msg.sender));
    }

    /// @dev A wallet agreed to work for one owner, not for whoever buys the agent.
    function _update(address to, uint256 agentId, address auth) internal override(ERC721) returns (address from) {
        from = super._update(to, agentId, auth);
        if (from != address(0) && from != to) _setMetadata(agentId, WALLET_KEY, "");
    }
}
