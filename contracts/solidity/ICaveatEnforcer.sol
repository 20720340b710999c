// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title What a DelegationManager asks of a caveat enforcer
/// @notice For each execution the manager walks the delegations from the redeemer's up to the
/// owner's, and calls every caveat of each with the hash of the delegation that it stands in. A hook
/// that reverts refuses the whole redemption.
/// @dev The interface of the Delegation Framework 1.3.0, declared in words of our own. `mode` is its
/// `ModeCode`, the ERC-7579 mode as one word.
interface ICaveatEnforcer {
    /// @notice Once before the first execution of a redemption.
    function beforeAllHook(
        bytes calldata terms,
        bytes calldata args,
        bytes32 mode,
        bytes calldata execution,
        bytes32 delegationHash,
        address delegator,
        address redeemer
    ) external;

    /// @notice Right before the execution.
    function beforeHook(
        bytes calldata terms,
        bytes calldata args,
        bytes32 mode,
        bytes calldata execution,
        bytes32 delegationHash,
        address delegator,
        address redeemer
    ) external;

    /// @notice Right after the execution.
    function afterHook(
        bytes calldata terms,
        bytes calldata args,
        bytes32 mode,
        bytes calldata execution,
        bytes32 delegationHash,
        address delegator,
        address redeemer
    ) external;

    /// @notice Once after the last execution of a redemption.
    function afterAllHook(
        bytes calldata terms,
        bytes calldata args,
        bytes32 mode,
        bytes calldata execution,
        bytes32 delegationHash,
        address delegator,
        address redeemer
    ) external;
}
