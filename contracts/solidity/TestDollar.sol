// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// @title A dollar for development chains, with the payment interface of USDC
/// @notice An ERC-20 with six decimals and all of EIP-3009: random nonces, and each signed call in
/// two forms, (v, r, s) and packed bytes; the latter accepts ERC-1271 contract signers as well.
/// @dev Anyone may mint: it is its own faucet and worth nothing. Never deploy it where money is real.
contract TestDollar is ERC3009 {
    /// @notice Version of the EIP-712 domain.
    string public constant version = "1";

    constructor() ERC20("Marque Test Dollar", "tUSD") EIP712("Marque Test Dollar", version) {}

    /// @notice Six, as USDC has.
    function decimals() public pure override returns (uint8) {
        return 6;
    }

    /// @notice Gives `to` new dollars: `value` base units (10^-6). Open to anyone.
    function mint(address to, uint256 value) external {
        _mint(to, value);
    }

    /// @notice The EIP-712 domain separator that authorisations are signed under.
    // solhint-disable-next-line func-name-mixedcase
    function DOMAIN_SEPARATOR() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    /// @notice Moves `value` from `from` to `to` on the strength of a signature by `from`.
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        _requireSigned(
            from,
            keccak256(
                abi.encode(TRANSFER_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce)
            ),
            signature
        );
        _transferWithAuthorization(from, to, value, validAfter, validBefore, nonce);
    }

    /// @notice As `transferWithAuthorization`, but only the payee may call it, so nobody settles early.
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        require(to == _msgSender(), ERC20InvalidReceiver(to));
        _requireSigned(
            from,
            keccak256(
                abi.encode(RECEIVE_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce)
            ),
            signature
        );
        _transferWithAuthorization(from, to, value, validAfter, validBefore, nonce);
    }

    /// @notice Uses up a nonce without a transfer, on the strength of a signature by `authorizer`.
    function cancelAuthorization(address authorizer, bytes32 nonce, bytes calldata signature) external {
        _requireSigned(
            authorizer,
            keccak256(abi.encode(CANCEL_AUTHORIZATION_TYPEHASH, authorizer, nonce)),
            signature
        );
        _cancelAuthorization(authorizer, nonce);
    }

    /// @dev An account without code signs with its key (low s only), one with code by ERC-1271.
    function _requireSigned(address signer, bytes32 structHash, bytes calldata signature) private view {
        require(
            SignatureChecker.isValidSignatureNowCalldata(signer, _hashTypedDataV4(structHash), signature),
            ERC3009InvalidSignature()
        );
    }

    /// @dev Seconds of block time, strict at both ends, and nothing else: the library would also read
    /// block numbers from values with bit 47 set, which no other EIP-3009 token does.
    function _checkValidity(uint256 validAfter, uint256 validBefore) internal view override {
        require(
            block.timestamp > validAfter && block.timestamp < validBefore,
            ERC3009InvalidAuthorizationTime(validAfter, validBefore)
        );
    }
}
