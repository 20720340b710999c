//! Tokens that can be paid with a signature: ERC-20, EIP-3009, and the development dollar.
//!
//! In EIP-3009 the payer signs an [`Authorization`] and anyone may bring it to the token, which moves
//! the money once for each nonce. Marque signs `TransferWithAuthorization` only, the form that x402
//! `exact` uses, and settles whichever form the token has.

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{Eip712Domain, SolStruct, sol};

sol! {
    /// What Marque uses of ERC-20.
    #[derive(Debug, PartialEq, Eq)]
    interface IERC20 {
        /// `value` base units went from `from` to `to`.
        event Transfer(address indexed from, address indexed to, uint256 value);

        /// Base units that `account` holds.
        function balanceOf(address account) external view returns (uint256);
        /// Digits after the point.
        function decimals() external view returns (uint8);
        /// A short name, not unique.
        function symbol() external view returns (string);
        /// Base units of all accounts together.
        function totalSupply() external view returns (uint256);
        /// Gives `value` base units of the caller's to `to`.
        function transfer(address to, uint256 value) external returns (bool);
    }

    /// EIP-3009 as its standard has it: signatures as `(v, r, s)`.
    #[derive(Debug, PartialEq, Eq)]
    interface IERC3009 {
        /// The authorisation with this nonce was settled.
        event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
        /// The authorisation with this nonce can never be settled.
        event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);

        /// Whether the nonce is used up, by a transfer or by a cancellation.
        function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
        /// Moves the money. Anyone may call it.
        function transferWithAuthorization(
            address from,
            address to,
            uint256 value,
            uint256 validAfter,
            uint256 validBefore,
            bytes32 nonce,
            uint8 v,
            bytes32 r,
            bytes32 s
        ) external;
        /// Moves the money. Only the payee may call it, and the payer signs another type for it.
        function receiveWithAuthorization(
            address from,
            address to,
            uint256 value,
            uint256 validAfter,
            uint256 validBefore,
            bytes32 nonce,
            uint8 v,
            bytes32 r,
            bytes32 s
        ) external;
        /// Uses the nonce up without a transfer.
        function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
        /// The EIP-712 domain separator that authorisations are signed under.
        function DOMAIN_SEPARATOR() external view returns (bytes32);
    }

    /// EIP-3009 as USDC 2.2 extends it: signatures as bytes, so that contract accounts (ERC-1271) can
    /// pay. The 65 bytes `r || s || v` of a key work as well.
    #[derive(Debug, PartialEq, Eq)]
    interface IERC3009Bytes {
        /// As [`IERC3009::transferWithAuthorizationCall`].
        function transferWithAuthorization(
            address from,
            address to,
            uint256 value,
            uint256 validAfter,
            uint256 validBefore,
            bytes32 nonce,
            bytes signature
        ) external;
        /// As [`IERC3009::receiveWithAuthorizationCall`].
        function receiveWithAuthorization(
            address from,
            address to,
            uint256 value,
            uint256 validAfter,
            uint256 validBefore,
            bytes32 nonce,
            bytes signature
        ) external;
        /// As [`IERC3009::cancelAuthorizationCall`].
        function cancelAuthorization(address authorizer, bytes32 nonce, bytes signature) external;
    }

    /// What the development dollar has beyond [`IERC20`], [`IERC3009`] and [`IERC3009Bytes`]. Six
    /// decimals, symbol `tUSD`, EIP-712 domain [`TokenDomain::test_dollar`].
    #[derive(Debug, PartialEq, Eq)]
    interface TestDollar {
        /// Gives `to` new dollars, `value` base units. Open to anyone: the dollar is its own faucet.
        function mint(address to, uint256 value) external;
        /// The EIP-712 domain's name and the token's.
        function name() external view returns (string);
        /// The EIP-712 domain's version.
        function version() external view returns (string);
    }

    /// The EIP-712 message of a payment (EIP-3009).
    #[derive(Debug, PartialEq, Eq)]
    struct TransferWithAuthorization {
        /// Who pays, and signs.
        address from;
        /// Who is paid.
        address to;
        /// Base units.
        uint256 value;
        /// Unix seconds of block time; valid strictly after it.
        uint256 validAfter;
        /// Unix seconds of block time; valid strictly before it.
        uint256 validBefore;
        /// Chosen by the payer; the token takes each once.
        bytes32 nonce;
    }

    /// The EIP-712 message that withdraws a payment before it is settled (EIP-3009).
    #[derive(Debug, PartialEq, Eq)]
    struct CancelAuthorization {
        /// Who would have paid, and signs.
        address authorizer;
        /// The payment's nonce.
        bytes32 nonce;
    }
}

/// The EIP-712 domain of a token: what binds a signature to one contract on one chain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TokenDomain {
    /// The domain's name; often, but not always, the token's.
    pub name: String,
    /// The domain's version.
    pub version: String,
    /// EIP-155 chain id.
    pub chain: u64,
    /// The token contract.
    pub token: Address,
}

impl TokenDomain {
    /// The domain of a development dollar that was deployed at `token`.
    #[must_use]
    pub fn test_dollar(chain: u64, token: Address) -> Self {
        Self { name: "Marque Test Dollar".to_owned(), version: "1".to_owned(), chain, token }
    }

    /// The domain separator, as `DOMAIN_SEPARATOR()` of the token answers it.
    #[must_use]
    pub fn separator(&self) -> B256 {
        self.eip712().separator()
    }

    fn eip712(&self) -> Eip712Domain {
        Eip712Domain::new(
            Some(self.name.clone().into()),
            Some(self.version.clone().into()),
            Some(U256::from(self.chain)),
            Some(self.token),
            None,
        )
    }
}

/// A payment that its payer signs and anyone may settle (EIP-3009).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Authorization {
    /// Who pays, and signs.
    pub from: Address,
    /// Who is paid.
    pub to: Address,
    /// Base units of the token.
    pub value: U256,
    /// Unix seconds of block time; valid strictly after it.
    pub valid_after: u64,
    /// Unix seconds of block time; valid strictly before it.
    pub valid_before: u64,
    /// The token takes each nonce of a payer once.
    pub nonce: B256,
}

impl From<&Authorization> for TransferWithAuthorization {
    fn from(a: &Authorization) -> Self {
        Self {
            from: a.from,
            to: a.to,
            value: a.value,
            validAfter: U256::from(a.valid_after),
            validBefore: U256::from(a.valid_before),
            nonce: a.nonce,
        }
    }
}

/// The digest that a payer signs: `TransferWithAuthorization` under the token's domain.
#[must_use]
pub fn eip3009_digest(domain: &TokenDomain, authorization: &Authorization) -> B256 {
    TransferWithAuthorization::from(authorization).eip712_signing_hash(&domain.eip712())
}

/// The digest that a payer signs to withdraw the payment with `nonce`: `CancelAuthorization` under the
/// token's domain.
#[must_use]
pub fn eip3009_cancel_digest(domain: &TokenDomain, authorizer: Address, nonce: B256) -> B256 {
    CancelAuthorization { authorizer, nonce }.eip712_signing_hash(&domain.eip712())
}
