// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Permit2} from "./Permit2.sol";

/// @title What both x402 proxies for Permit2 have in common, for development chains
/// @notice A proxy is the spender of a permit. The payer signs, as the witness, whom it must pay, so
/// whoever settles cannot pay anybody else.
/// @dev Public chains have the proxies of the x402 project. These have their calls, witness types,
/// events and errors, in words of our own, and no constructor.
abstract contract X402Proxy is ReentrancyGuardTransient {
    /// @dev EIP-2612's `permit` without owner and spender: approves Permit2 in the same transaction.
    struct EIP2612Permit {
        uint256 value;
        uint256 deadline;
        bytes32 r;
        bytes32 s;
        uint8 v;
    }

    event Settled();
    event SettledWithPermit();
    event EIP2612PermitFailedWithReason(address indexed token, address indexed owner, string reason);
    event EIP2612PermitFailedWithPanic(address indexed token, address indexed owner, uint256 errorCode);
    event EIP2612PermitFailedWithData(address indexed token, address indexed owner, bytes data);

    error InvalidDestination();
    error InvalidOwner();
    error PaymentTooEarly();
    error Permit2612AmountMismatch();

    /// @notice Where Permit2 is, on every chain.
    // solhint-disable-next-line private-vars-leading-underscore
    Permit2 public constant PERMIT2 = Permit2(0x000000000022D473030F116dDEE9F6B43aC78BA3);

    /// @dev The witness, as the scheme has it.
    struct Bound {
        address to;
        uint256 validAfter;
        bytes32 hash;
        string typeString;
    }

    function _pay(
        Permit2.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        Bound memory witness,
        bytes calldata signature
    ) internal {
        require(owner != address(0), InvalidOwner());
        require(witness.to != address(0), InvalidDestination());
        require(block.timestamp >= witness.validAfter, PaymentTooEarly());
        PERMIT2.permitWitnessTransferFrom(
            permit,
            Permit2.SignatureTransferDetails({to: witness.to, requestedAmount: amount}),
            owner,
            witness.hash,
            witness.typeString,
            signature
        );
    }

    /// @dev A token may lack `permit`, and the approval may stand already: a failure is only told.
    function _approve(Permit2.PermitTransferFrom calldata permit, address owner, EIP2612Permit calldata approval)
        internal
    {
        require(approval.value == permit.permitted.amount, Permit2612AmountMismatch());
        address token = permit.permitted.token;
        try IERC20Permit(token).permit(
            owner, address(PERMIT2), approval.value, approval.deadline, approval.v, approval.r, approval.s
        ) {} catch Error(string memory reason) {
            emit EIP2612PermitFailedWithReason(token, owner, reason);
        } catch Panic(uint256 errorCode) {
            emit EIP2612PermitFailedWithPanic(token, owner, errorCode);
        } catch (bytes memory data) {
            emit EIP2612PermitFailedWithData(token, owner, data);
        }
    }
}
