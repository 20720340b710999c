//! Agents with their own identity and wallet that can never act outside their owner's policy.
//!
//! The mind proposes, the steward disposes: see the README for the picture, and [`prelude`] for
//! what a script needs.

pub mod audit;
pub mod doctor;
pub mod drafts;
pub mod economy;
pub mod home;
pub mod notify;
pub mod owner;
pub mod process;
pub mod request;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;

pub use marque_agent_core as agent;
pub use marque_macros::{main, tool};
pub use marque_models as models;
pub use marque_payments as payments;
pub use marque_policies as policies;
pub use marque_steward as steward;
pub use marque_tools as tools;

/// What a script of an agent needs.
pub mod prelude {
    pub use crate::tool;
    pub use marque_agent_core::{Agent, AgentError, Cx, State, ToolError};
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};

    /// What `main` of a script returns; any error fits.
    pub type Result<T = (), E = Box<dyn std::error::Error + Send + Sync>> =
        std::result::Result<T, E>;
}

/// What the macros expand to. Not for people; may change at any time.
#[doc(hidden)]
pub mod __private {
    pub use crate::process::main;
    pub use marque_agent_core::private::*;
}
