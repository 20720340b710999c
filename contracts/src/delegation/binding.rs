//! What Marque calls, reads and decodes of the Delegation Framework 1.3.0 and of the enforcer of our
//! own: interfaces in words of our own, no code of theirs.

use alloy_sol_types::sol;

sol! {
    /// A caveat as a manager is handed it.
    #[derive(Debug, PartialEq, Eq)]
    struct CaveatData {
        /// The contract that judges.
        address enforcer;
        /// What the delegator signed for it to judge by.
        bytes terms;
        /// What the redeemer tells it; not signed.
        bytes args;
    }

    /// A delegation as a manager is handed it.
    #[derive(Debug, PartialEq, Eq)]
    struct DelegationData {
        /// Who may act.
        address delegate;
        /// For whom.
        address delegator;
        /// The hash of the delegation that this one hands on.
        bytes32 authority;
        /// What every execution must pass.
        CaveatData[] caveats;
        /// Tells delegations apart that are the same otherwise.
        uint256 salt;
        /// The delegator's.
        bytes signature;
    }

    /// The contract that redeems delegations: it checks signatures and caveats, and has the account at
    /// the root execute.
    #[derive(Debug, PartialEq, Eq)]
    interface IDelegationManager {
        /// `redeemer` had `rootDelegator` execute on the strength of `delegation`, and of those it
        /// hands on.
        event RedeemedDelegation(
            address indexed rootDelegator,
            address indexed redeemer,
            DelegationData delegation
        );
        /// The delegation cannot be redeemed any more, nor what hands it on.
        event DisabledDelegation(
            bytes32 indexed delegationHash,
            address indexed delegator,
            address indexed delegate,
            DelegationData delegation
        );
        /// It can be again.
        event EnabledDelegation(
            bytes32 indexed delegationHash,
            address indexed delegator,
            address indexed delegate,
            DelegationData delegation
        );

        /// It is disabled already.
        error AlreadyDisabled();
        /// It is not disabled.
        error AlreadyEnabled();
        /// One of the delegations was revoked.
        error CannotUseADisabledDelegation();
        /// The manager was paused by whoever owns it.
        error EnforcedPause();
        /// A delegation does not hand on the one after it, or the last one hands on something.
        error InvalidAuthority();
        /// The redeemer is not the delegate.
        error InvalidDelegate();
        /// Only its delegator may do that to a delegation.
        error InvalidDelegator();
        /// A delegation of an account without code is not signed by it.
        error InvalidEOASignature();
        /// A delegation of a contract account is not signed as it demands.
        error InvalidERC1271Signature();

        /// Executes for each permission, which is a list of delegations from the caller's to the
        /// owner's, an execution in a mode of ERC-7579.
        function redeemDelegations(
            bytes[] permissionContexts,
            bytes32[] modes,
            bytes[] executionCallDatas
        ) external;
        /// Revokes a delegation of the caller's.
        function disableDelegation(DelegationData delegation) external;
        /// Takes that back.
        function enableDelegation(DelegationData delegation) external;
        /// Whether it is revoked.
        function disabledDelegations(bytes32 delegationHash) external view returns (bool);
        /// The hash that names a delegation.
        function getDelegationHash(DelegationData delegation) external pure returns (bytes32);
        /// The EIP-712 domain separator that delegations are signed under.
        function getDomainHash() external view returns (bytes32);
        /// Who may pause it.
        function owner() external view returns (address);
        /// Whether nothing is redeemed at the moment.
        function paused() external view returns (bool);
    }

    /// An owner's account: a proxy to the framework's `MultiSigDeleGator`.
    #[derive(Debug, PartialEq, Eq)]
    interface IMultiSigAccount {
        /// Makes it the account of these signers; works once.
        function initialize(address[] signers, uint256 threshold) external;
        /// Its manager, which alone can have it execute, beside the entry point.
        function delegationManager() external view returns (address);
        /// Its ERC-4337 entry point.
        function entryPoint() external view returns (address);
        /// Whose code it runs.
        function getImplementation() external view returns (address);
        /// Who signs for it.
        function getSigners() external view returns (address[]);
        /// How many of them must.
        function getThreshold() external view returns (uint256);
        /// ERC-1271: whether these signatures, in the order of their signers' addresses, speak for it.
        function isValidSignature(bytes32 hash, bytes signature) external view returns (bytes4);
        /// Adds a signer. Only the account itself may call it, as with the next three.
        function addSigner(address newSigner) external;
        /// Takes a signer out.
        function removeSigner(address oldSigner) external;
        /// Exchanges a signer.
        function replaceSigner(address oldSigner, address newSigner) external;
        /// Changes how many must sign.
        function updateThreshold(uint256 threshold) external;
    }

    /// The enforcer that demands an account's present nonce.
    #[derive(Debug, PartialEq, Eq)]
    interface INonceEnforcer {
        /// Every delegation of `delegator`'s that names `nonce` is void.
        event UsedNonce(address indexed delegationManager, address indexed delegator, uint256 nonce);

        /// The nonce that delegations of `delegator`'s must name.
        function currentNonce(address delegationManager, address delegator) external view returns (uint256);
        /// Raises the caller's.
        function incrementNonce(address delegationManager) external;
    }

    /// The enforcer that limits how much of a token a delegation moves in a period; periods are
    /// counted from a start, so two full ones can follow each other at once.
    #[derive(Debug, PartialEq, Eq)]
    interface IErc20PeriodEnforcer {
        /// What is left in this period, whether nothing was spent in it, and its number.
        function getAvailableAmount(bytes32 delegationHash, address delegationManager, bytes terms)
            external
            view
            returns (uint256 availableAmount, bool isNewPeriod, uint256 currentPeriod);
    }

    /// The same for the native coin.
    #[derive(Debug, PartialEq, Eq)]
    interface INativePeriodEnforcer {
        /// What is left in this period, whether nothing was spent in it, and its number.
        function getAvailableAmount(bytes32 delegationHash, address delegationManager, bytes terms)
            external
            view
            returns (uint256 availableAmount, bool isNewPeriod, uint256 currentPeriod);
    }

    /// The enforcer that limits how much of a token a delegation ever moves.
    #[derive(Debug, PartialEq, Eq)]
    interface IErc20TotalEnforcer {
        /// What it has moved, in base units.
        function spentMap(address delegationManager, bytes32 delegationHash) external view returns (uint256);
    }

    /// The enforcer that limits how often a delegation is redeemed.
    #[derive(Debug, PartialEq, Eq)]
    interface ILimitedCallsEnforcer {
        /// How often it was.
        function callCounts(address delegationManager, bytes32 delegationHash) external view returns (uint256);
    }

    /// The enforcer of our own: `solidity/RollingSpendEnforcer.sol`.
    #[derive(Debug, PartialEq, Eq)]
    interface IRollingSpendEnforcer {
        /// A delegation spent something.
        event Spent(address indexed manager, bytes32 indexed delegationHash, address payee, uint256 amount);

        /// The execution is not a single call that must succeed.
        error ModeNotAllowed(bytes32 mode);
        /// The terms are none.
        error InvalidTerms();
        /// The execution is not a plain transfer of the asset.
        error NotATransfer();
        /// The terms do not name this payee.
        error PayeeNotAllowed(address payee);
        /// The window, in seconds, has no room for the amount.
        error LimitExceeded(uint48 window, uint256 amount, uint256 available);

        /// What every enforcer is asked before an execution.
        function beforeHook(
            bytes terms,
            bytes args,
            bytes32 mode,
            bytes execution,
            bytes32 delegationHash,
            address delegator,
            address redeemer
        ) external;
        /// What the delegation could spend in a single transfer now, in base units.
        function available(address manager, bytes32 delegationHash, bytes terms)
            external
            view
            returns (uint256 most);
        /// What each limit of the terms has used up now, in their order and in base units.
        function used(address manager, bytes32 delegationHash, bytes terms)
            external
            view
            returns (uint256[] amounts);
    }
}
