//! Payments through Permit2: the contract, the two x402 proxies that draw on it, and the message that
//! a payer signs for them.
//!
//! The payer approves Permit2 in a token once. A permit then names a spender, which is one of the
//! proxies, and a maximum; the witness beside it says whom the proxy must pay and, for `upto`, who
//! alone may settle. All three contracts have the same address on every chain.
//!
//! Permit2 tells nothing of a transfer that it makes: its nonce is a bit that is set, and the token
//! tells of the transfer. Which permit a transaction used its call data says, where it went to a
//! proxy: [`drawn`] reads it.

use alloy_primitives::{Address, B256, U256, address};
use alloy_sol_types::{Eip712Domain, SolCall as _, SolStruct, sol};

/// Where Permit2 is, on every chain.
pub const PERMIT2: Address = address!("000000000022D473030F116dDEE9F6B43aC78BA3");

/// Where the proxy of x402 `exact` is, on every chain.
pub const EXACT_PROXY: Address = address!("402085c248EeA27D92E8b30b2C58ed07f9E20001");

/// Where the proxy of x402 `upto` is, on every chain.
pub const UPTO_PROXY: Address = address!("4020A4f3b7b90ccA423B9fabCc0CE57C6C240002");

/// The message of x402 `exact`. Its witness is a struct of another shape than that of `upto`, and of
/// the same name.
mod exact {
    use alloy_sol_types::sol;

    sol! {
        #[derive(Debug, PartialEq, Eq)]
        struct TokenPermissions {
            address token;
            uint256 amount;
        }

        #[derive(Debug, PartialEq, Eq)]
        struct Witness {
            address to;
            uint256 validAfter;
        }

        #[derive(Debug, PartialEq, Eq)]
        struct PermitWitnessTransferFrom {
            TokenPermissions permitted;
            address spender;
            uint256 nonce;
            uint256 deadline;
            Witness witness;
        }
    }
}

/// The message of x402 `upto`.
mod upto {
    use alloy_sol_types::sol;

    sol! {
        #[derive(Debug, PartialEq, Eq)]
        struct TokenPermissions {
            address token;
            uint256 amount;
        }

        #[derive(Debug, PartialEq, Eq)]
        struct Witness {
            address to;
            address facilitator;
            uint256 validAfter;
        }

        #[derive(Debug, PartialEq, Eq)]
        struct PermitWitnessTransferFrom {
            TokenPermissions permitted;
            address spender;
            uint256 nonce;
            uint256 deadline;
            Witness witness;
        }
    }
}

sol! {
    /// What Marque uses of Permit2.
    #[derive(Debug, PartialEq, Eq)]
    interface IPermit2 {
        /// `owner` gave up the nonces `mask` of the word `word`.
        event UnorderedNonceInvalidation(address indexed owner, uint256 word, uint256 mask);

        /// Which nonces of `owner` are used: 256 of them in a word.
        function nonceBitmap(address owner, uint256 word) external view returns (uint256);
        /// Gives up nonces of the caller's.
        function invalidateUnorderedNonces(uint256 wordPos, uint256 mask) external;
        /// The EIP-712 domain separator that permits are signed under.
        function DOMAIN_SEPARATOR() external view returns (bytes32);
    }

    /// What Marque uses of ERC-20 for Permit2's sake.
    #[derive(Debug, PartialEq, Eq)]
    interface IERC20Approve {
        /// `spender` may move `value` base units of `owner`'s from now on.
        event Approval(address indexed owner, address indexed spender, uint256 value);

        /// Base units of `owner`'s that `spender` may move.
        function allowance(address owner, address spender) external view returns (uint256);
        /// Lets `spender` move `value` base units of the caller's.
        function approve(address spender, uint256 value) external returns (bool);
    }

    /// What may be drawn.
    #[derive(Debug, PartialEq, Eq)]
    struct Permitted {
        /// The token.
        address token;
        /// Base units, at most.
        uint256 amount;
    }

    /// A permit as a proxy is handed it.
    #[derive(Debug, PartialEq, Eq)]
    struct PermitTransferFrom {
        /// What may be drawn.
        Permitted permitted;
        /// One bit, used once.
        uint256 nonce;
        /// Unix seconds of block time, the last one included.
        uint256 deadline;
    }

    /// The witness of `exact`.
    #[derive(Debug, PartialEq, Eq)]
    struct ExactWitness {
        /// Who is paid.
        address to;
        /// Unix seconds of block time from which it is valid.
        uint256 validAfter;
    }

    /// The witness of `upto`.
    #[derive(Debug, PartialEq, Eq)]
    struct UptoWitness {
        /// Who is paid.
        address to;
        /// Who alone may settle.
        address facilitator;
        /// Unix seconds of block time from which it is valid.
        uint256 validAfter;
    }

    /// EIP-2612's `permit` without owner and spender.
    #[derive(Debug, PartialEq, Eq)]
    struct Approval2612 {
        /// Base units.
        uint256 value;
        /// Unix seconds.
        uint256 deadline;
        /// Of the signature.
        bytes32 r;
        /// Of the signature.
        bytes32 s;
        /// Of the signature.
        uint8 v;
    }

    /// The proxy of x402 `exact`.
    #[derive(Debug, PartialEq, Eq)]
    interface IExactProxy {
        /// Takes all that `owner` permitted.
        function settle(
            PermitTransferFrom permit,
            address owner,
            ExactWitness witness,
            bytes signature
        ) external;
        /// The same, once the token was asked to approve Permit2.
        function settleWithPermit(
            Approval2612 permit2612,
            PermitTransferFrom permit,
            address owner,
            ExactWitness witness,
            bytes signature
        ) external;
    }

    /// The proxy of x402 `upto`.
    #[derive(Debug, PartialEq, Eq)]
    interface IUptoProxy {
        /// Takes `amount` of what `owner` permitted. Only the witness's facilitator may call it.
        function settle(
            PermitTransferFrom permit,
            uint256 amount,
            address owner,
            UptoWitness witness,
            bytes signature
        ) external;
        /// The same, once the token was asked to approve Permit2.
        function settleWithPermit(
            Approval2612 permit2612,
            PermitTransferFrom permit,
            uint256 amount,
            address owner,
            UptoWitness witness,
            bytes signature
        ) external;
    }
}

/// A permit that its payer signs and an x402 proxy draws on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Permit {
    /// Who pays, and signs.
    pub from: Address,
    /// Who is paid.
    pub to: Address,
    /// The token.
    pub token: Address,
    /// Base units, at most.
    pub amount: U256,
    /// For `upto` who alone may settle it; `None` for `exact`.
    pub facilitator: Option<Address>,
    /// Unix seconds of block time from which it is valid.
    pub valid_after: u64,
    /// Unix seconds of block time until which it is valid, this one included.
    pub deadline: u64,
    /// One bit of the payer's unordered nonces.
    pub nonce: U256,
}

impl Permit {
    /// The proxy that it is signed for.
    #[must_use]
    pub const fn spender(&self) -> Address {
        proxy(self.facilitator)
    }

    /// The digest that the payer signs: `PermitWitnessTransferFrom` under Permit2's domain.
    #[must_use]
    pub fn digest(&self, chain: u64) -> B256 {
        let domain = domain(chain);
        let (spender, nonce, deadline) = (self.spender(), self.nonce, U256::from(self.deadline));
        let (token, amount, to) = (self.token, self.amount, self.to);
        let valid_after = U256::from(self.valid_after);
        match self.facilitator {
            None => exact::PermitWitnessTransferFrom {
                permitted: exact::TokenPermissions { token, amount },
                spender,
                nonce,
                deadline,
                witness: exact::Witness { to, validAfter: valid_after },
            }
            .eip712_signing_hash(&domain),
            Some(facilitator) => upto::PermitWitnessTransferFrom {
                permitted: upto::TokenPermissions { token, amount },
                spender,
                nonce,
                deadline,
                witness: upto::Witness { to, facilitator, validAfter: valid_after },
            }
            .eip712_signing_hash(&domain),
        }
    }

    /// The data of the call by which the proxy takes `amount`; of `exact` always all of it.
    #[must_use]
    pub fn settle(&self, amount: U256, signature: Vec<u8>) -> Vec<u8> {
        let permit = PermitTransferFrom {
            permitted: Permitted { token: self.token, amount: self.amount },
            nonce: self.nonce,
            deadline: U256::from(self.deadline),
        };
        let (owner, to, signature) = (self.from, self.to, signature.into());
        let valid_after = U256::from(self.valid_after);
        match self.facilitator {
            None => {
                let witness = ExactWitness { to, validAfter: valid_after };
                IExactProxy::settleCall { permit, owner, witness, signature }.abi_encode()
            }
            Some(facilitator) => {
                let witness = UptoWitness { to, facilitator, validAfter: valid_after };
                IUptoProxy::settleCall { permit, amount, owner, witness, signature }.abi_encode()
            }
        }
    }
}

/// Which proxy a permit is for, by the facilitator that its witness names.
#[must_use]
pub const fn proxy(facilitator: Option<Address>) -> Address {
    match facilitator {
        None => EXACT_PROXY,
        Some(_) => UPTO_PROXY,
    }
}

/// What one call of a proxy draws, where it succeeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// Whose permit.
    pub owner: Address,
    /// Its nonce.
    pub nonce: U256,
    /// Who is paid.
    pub to: Address,
    /// The token.
    pub token: Address,
    /// Base units that are taken.
    pub amount: U256,
}

/// What a transaction to `proxy` with this call data draws; `None` where it goes elsewhere or does
/// something else. Where the transaction succeeded, exactly this was drawn.
#[must_use]
pub fn drawn(proxy: Address, data: &[u8]) -> Option<Drawn> {
    let made = |permit: &PermitTransferFrom, owner, to, amount| Drawn {
        owner,
        nonce: permit.nonce,
        to,
        token: permit.permitted.token,
        amount,
    };
    match proxy {
        EXACT_PROXY => {
            if let Ok(call) = IExactProxy::settleCall::abi_decode(data) {
                let all = call.permit.permitted.amount;
                return Some(made(&call.permit, call.owner, call.witness.to, all));
            }
            let call = IExactProxy::settleWithPermitCall::abi_decode(data).ok()?;
            let all = call.permit.permitted.amount;
            Some(made(&call.permit, call.owner, call.witness.to, all))
        }
        UPTO_PROXY => {
            if let Ok(call) = IUptoProxy::settleCall::abi_decode(data) {
                return Some(made(&call.permit, call.owner, call.witness.to, call.amount));
            }
            let call = IUptoProxy::settleWithPermitCall::abi_decode(data).ok()?;
            Some(made(&call.permit, call.owner, call.witness.to, call.amount))
        }
        _ => None,
    }
}

/// The place of an unordered nonce: its word, and its bit in the word.
#[must_use]
pub fn place(nonce: U256) -> (U256, U256) {
    (nonce >> 8, U256::ONE << (nonce & U256::from(0xff)))
}

fn domain(chain: u64) -> Eip712Domain {
    Eip712Domain::new(Some("Permit2".into()), None, Some(U256::from(chain)), Some(PERMIT2), None)
}

/// The domain separator of Permit2 on a chain, as its `DOMAIN_SEPARATOR()` answers it.
#[must_use]
pub fn separator(chain: u64) -> B256 {
    domain(chain).separator()
}
