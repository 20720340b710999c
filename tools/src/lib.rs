//! Built-in tools: read something, hire a machine, look at the purse.
//!
//! Names, arguments and descriptions are those that the built-in model was trained with, and what
//! the tools answer is short enough for it to repeat. All of them go through
//! [`Cx`](marque_agent_core::Cx), so a policy permits, limits and pays for what they do.
//!
//! ```no_run
//! # async fn example() -> Result<(), marque_agent_core::AgentError> {
//! use marque_agent_core::Agent;
//! use marque_tools::{fetch_data, get_balance, hire_compute};
//!
//! let agent = Agent::open("scout").await?;
//! let agent = agent.tool(fetch_data).tool(hire_compute).tool(get_balance);
//! # Ok(())
//! # }
//! ```

mod arithmetic;
mod balance;
mod clock;
mod compute;
pub mod digest;
mod files;
mod notes;
mod page;
mod text;

pub use arithmetic::{Calculated, calculate};
pub use balance::{Balance, get_balance};
pub use clock::{Now, now};
pub use compute::{Hired, hire_compute};
pub use files::{FileText, Written, read_file, write_file};
pub use notes::{Memories, MemoryLine, Remembered, recall, remember};
pub use page::{Fetched, Page, fetch, fetch_data};
