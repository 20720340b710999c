// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Permit2} from "./Permit2.sol";
import {X402Proxy} from "./X402Proxy.sol";

/// @title x402 `exact` by Permit2: anyone settles, for all that was permitted
contract X402ExactProxy is X402Proxy {
    struct Witness {
        address to;
        uint256 validAfter;
    }

    error InvalidAmount();

    bytes32 public constant WITNESS_TYPEHASH = keccak256("Witness(address to,uint256 validAfter)");
    /// @notice What a permit's type string ends with.
    string public constant WITNESS_TYPE_STRING =
        "Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,uint256 validAfter)";

    /// @notice Takes all that `owner` permitted, for `witness.to`.
    function settle(
        Permit2.PermitTransferFrom calldata permit,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external nonReentrant {
        _take(permit, owner, witness, signature);
        emit Settled();
    }

    /// @notice The same, once the token was asked to approve Permit2 by EIP-2612.
    function settleWithPermit(
        EIP2612Permit calldata permit2612,
        Permit2.PermitTransferFrom calldata permit,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external nonReentrant {
        _approve(permit, owner, permit2612);
        _take(permit, owner, witness, signature);
        emit SettledWithPermit();
    }

    function _take(
        Permit2.PermitTransferFrom calldata permit,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) private {
        require(permit.permitted.amount > 0, InvalidAmount());
        bytes32 hash = keccak256(abi.encode(WITNESS_TYPEHASH, witness.to, witness.validAfter));
        Bound memory bound = Bound(witness.to, witness.validAfter, hash, WITNESS_TYPE_STRING);
        _pay(permit, permit.permitted.amount, owner, bound, signature);
    }
}
