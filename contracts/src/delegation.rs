//! Limits that hold without the steward: accounts that delegate, and caveats that a chain judges.
//!
//! An owner's money is in an account of the MetaMask Delegation Framework 1.3.0 ([`OwnerAccount`]). The
//! owner signs a [`Delegation`] by which the agent's key may have the account act, under [`Caveat`]s:
//! conditions that a contract each judges when the delegation is redeemed. The agent redeems its
//! [`Permission`] by a plain transaction to the manager, without a bundler. What it hands on to others
//! stays under every caveat above. What the framework lacks, a limit in a rolling window, is
//! [`RollingSpend`].
//!
//! ```
//! # use marque_contracts::delegation::*;
//! # use alloy_primitives::{Address, B256, U256};
//! # fn sign(_: B256) -> Vec<u8> { vec![0; 65] }
//! # type Done = Result<(), DelegationError>;
//! # fn example(owner: Address, agent: Address, usdc: Address, now: u64) -> Done {
//! let framework = Framework::public(84532).unwrap();
//! let account = OwnerAccount::of(owner, B256::ZERO)?;
//! let limits = RollingSpend::erc20(usdc).window(86_400, U256::from(10_000_000)).to(agent).build()?;
//! let refill = Delegation::root(account.address(&framework), agent)
//!     .with(limits.caveat(&framework))
//!     .with(Timestamp::until(now + 30 * 86_400)?.caveat(&framework))
//!     .with(Nonce(U256::ZERO).caveat(&framework));
//! let digest = refill.digest(&framework);
//! let signature = account.signature(digest, [&sign(digest)[..]])?;
//! let permission = Permission::new([refill.signed(signature)])?;
//!
//! // The agent sends this to framework.manager:
//! let data = permission.redeem(&Execution::transfer(usdc, agent, U256::from(2_000_000)));
//! # Ok(()) }
//! ```
//!
//! Where the contracts are is a [`Framework`]: known for public chains, compared with what Marque
//! knows by [`Framework::check`], put onto a development chain with a [`Package`].
//!
//! Nothing here signs, and the only thing that is read is the package.

mod account;
pub mod binding;
mod code;
mod deployer;
mod error;
mod execution;
mod framework;
mod message;
mod package;
mod permission;
mod refusal;
mod revoke;
mod rolling;
mod terms;

pub use account::OwnerAccount;
pub use code::{ACCOUNT_PROXY, ROLLING_SPEND};
pub use deployer::{DEPLOYER, rolling_spend_enforcer};
pub use error::DelegationError;
pub use execution::{Execution, SINGLE_CALL};
pub use framework::{Framework, PUBLIC_CHAINS, Part};
pub use message::{ANYBODY, Caveat, Delegation, ROOT_AUTHORITY, SignedDelegation, separator};
pub use package::{Deployment, Package};
pub use permission::{Permission, redeem};
pub use refusal::refusal;
pub use revoke::{kill_switch, revoke, revoke_all};
pub use rolling::{Limit, MAX_LIMITS, MAX_PAYEES, RollingSpend, RollingSpendBuilder};
pub use terms::{
    AllowedCalldata, AllowedMethods, AllowedTargets, Erc20Period, Erc20Total, LimitedCalls,
    NativePeriod, Nonce, Redeemers, Terms, Timestamp, ValueLte,
};
