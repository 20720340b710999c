//! Built-in tools: read, remember, reckon, pay, hire, ask.
//!
//! All of them go through [`Cx`](marque_agent_core::Cx), so a policy permits, limits and pays for what
//! they do, and what they bring has labels. The README has a policy for each.
//!
//! [`fetch_data`], [`hire_compute`] and [`get_balance`] are named and described as the built-in model
//! was trained with them, and answer shortly enough for it to repeat.
//!
//! ```no_run
//! # async fn example() -> Result<(), marque_agent_core::AgentError> {
//! use marque_agent_core::Agent;
//! use marque_tools::{fetch, recall, remember};
//!
//! let agent = Agent::open("scout").await?;
//! let agent = agent.tool(fetch).tool(remember).tool(recall);
//! // Or all of them; the model is told of those that the policy permits.
//! let agent = marque_tools::all(agent);
//! # Ok(())
//! # }
//! ```

mod arithmetic;
mod clock;
mod compute;
pub mod digest;
mod directory;
mod files;
mod notes;
mod page;
mod payment;
mod purse;
mod question;
mod text;

pub use arithmetic::{Calculated, calculate};
pub use clock::{Now, now};
pub use compute::{Answered, Hired, hire, hire_compute};
pub use directory::{FoundAgent, FoundAgents, find_agents};
pub use files::{FileText, Written, read_file, write_file};
pub use notes::{Memories, MemoryLine, Remembered, recall, remember};
pub use page::{Fetched, Page, fetch, fetch_data};
pub use payment::{PaymentMade, pay};
pub use purse::{Balance, balance, get_balance};
pub use question::{OwnersAnswer, ask_owner};

use marque_agent_core::Agent;

/// The agent with every built-in tool. Its model is offered those that the policy permits.
#[must_use]
pub fn all(agent: Agent) -> Agent {
    agent
        .spare_tool(fetch_data)
        .spare_tool(hire_compute)
        .spare_tool(get_balance)
        .spare_tool(fetch)
        .spare_tool(read_file)
        .spare_tool(write_file)
        .spare_tool(remember)
        .spare_tool(recall)
        .spare_tool(ask_owner)
        .spare_tool(pay)
        .spare_tool(hire)
        .spare_tool(find_agents)
        .spare_tool(calculate)
        .spare_tool(now)
        .spare_tool(balance)
}
