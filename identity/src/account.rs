//! An owner's account on chain, and what of an agent's policy is put there.
//!
//! The account holds the money; the agent's key holds a float, and draws on the account under
//! delegations that [`compile()`] makes of the policy: per asset the limits in rolling windows, whom the
//! account pays, and when it ends. [`rules()`] says of every rule of the policy whether the chain
//! carries it, and [`bounds`] what a thief of the agent's key can take. What the owner signed of it are
//! [`Permissions`], a file without secrets; [`drift()`] says where it and a policy differ.
//!
//! ```text
//! the account ──▶ the owner's own key, under owner.limits ──▶ the agent, under limits
//! ```
//!
//! The link in the middle is there where all agents together have limits: its history is shared by
//! them and outlives what one of them is given anew. Without such limits the account delegates to the
//! agent itself.
//!
//! Nothing here signs.

mod chain;
mod compile;
mod drift;
mod permissions;
mod rules;

pub(crate) use chain::NOBODY;
pub use chain::{AssetStanding, Standing, Used, framework, is_deployed, lacking, nonce};
pub use compile::{Grant, Ground, compile, drawn, end};
pub use drift::{Drift, drift};
pub use permissions::{Permissions, PermissionsError, SignedGrant};
pub use rules::{Bound, Carried, Rule, bounds, rules};
