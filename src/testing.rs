//! A whole economy inside one test: a real chain, real stewards that hold keys and keep journals,
//! sellers that really settle, and agents that think as the test says.
//!
//! Nothing of it is a stand-in but the mind and the clock: what a test shows of money, limits and
//! crashes is what the running system does. Behind the feature `testing`, since a steward inside
//! the program that it watches guards nothing.
//!
//! ```no_run
//! use marque::{prelude::*, testing::{Town, answer, call}};
//!
//! # /// Reads a feed.
//! # #[tool]
//! # async fn fetch(cx: &Cx, url: String) -> Result<String> {
//! #     Ok(cx.get(&url).await?.text()?.to_owned())
//! # }
//! #[tokio::test]
//! async fn scout_pays_for_the_wind() -> Result {
//!     let town = Town::start().await?;
//!     let feed = town.seller("feed").sells("/wind", "0.02 tUSD", "14.2 knots").open().await?;
//!     let scout = town
//!         .agent("scout")
//!         .pays(&feed)
//!         .may("fetch")
//!         .thinks([call("fetch", [("url", feed.url("/wind"))]), answer("14.2 knots")])
//!         .open()
//!         .await?;
//!     let wind: String = scout.agent().tool(fetch).run("How is the wind?").await?;
//!     assert_eq!(wind, "14.2 knots");
//!     assert_eq!(town.holds(&scout).await?, "4.98 tUSD");
//!     Ok(())
//! }
//! ```
//!
//! Days pass with [`Town::advance`]; [`Stall::misbehaves`] and [`Town::chain_is`] are the switches
//! for bad luck; [`Citizen::restarts`] ends a steward and opens its home again.
//! [`AgentBuilder::records`] writes runs down, those of the accounts below an agent included, and
//! [`Agent::replaying`](crate::agent::Agent::replaying) repeats it without model, network or chain;
//! the accounts are then `replayed.sub_agent("clerk")`.
//!
//! A call of a tool that is not there, not permitted or wrongly written is an error that the mind is
//! told, and its script goes on: a test that looks at the answer alone passes where nothing happened.
//! Look at what somebody [`holds`](Town::holds), or at the steps of
//! [`Agent::task`](crate::agent::Agent::task).

mod citizen;
mod endpoint;
mod mind;
mod stall;

pub use citizen::{AgentBuilder, Citizen};
pub use endpoint::Chain;
pub use stall::{Misbehaviour, SellerBuilder, Stall};

use crate::economy::{DECIMALS, DOLLAR, Economy};
use alloy_primitives::{Address, U256};
use endpoint::Endpoint;
use marque_identity::devnet::{Devnet, Options};
use marque_policies::money::{format_units, parse_units};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;

/// So long a steward may go by a block that is the newest no more: a little more than what it hears of
/// the chain is good for.
const HEARD: Duration = Duration::from_millis(300);

/// What the functions of a test return; any error fits.
pub type Result<T = (), E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// A chain, its contracts and whoever lives on it. Everything ends and goes away with it.
#[derive(Debug)]
pub struct Town {
    economy: Economy,
    endpoint: Endpoint,
    /// How far the clocks of its stewards are ahead of this machine's, in milliseconds.
    ahead: Arc<AtomicU64>,
    dir: TempDir,
}

impl Town {
    /// Starts a development chain that mines every second, with the test dollar `tUSD` and the
    /// ERC-8004 registry.
    ///
    /// # Errors
    /// Where anvil is missing; the error says how to get it.
    pub async fn start() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let devnet = Devnet::start(&Options::default()).await?;
        let endpoint = Endpoint::start(devnet.url()).await?;
        let economy = Economy::start(dir.path(), PathBuf::new(), devnet).await?;
        Ok(Self { economy, endpoint, ahead: Arc::default(), dir })
    }

    /// An agent that sells.
    #[must_use]
    pub fn seller(&self, name: &str) -> SellerBuilder<'_> {
        SellerBuilder::new(self, name)
    }

    /// An agent that buys.
    #[must_use]
    pub fn agent(&self, name: &str) -> AgentBuilder<'_> {
        AgentBuilder::new(self, name)
    }

    /// Lets time pass, for the chain and for every steward alike, without waiting for it.
    ///
    /// # Errors
    /// Where the chain does not answer.
    pub async fn advance(&self, time: Duration) -> Result {
        self.economy.devnet.advance(time).await?;
        // What a steward heard of the newest block it believes for a moment.
        tokio::time::sleep(HEARD).await;
        let time = u64::try_from(time.as_millis())?;
        self.ahead.fetch_add(time, Ordering::SeqCst);
        Ok(())
    }

    /// Whether the endpoint that every policy here names answers. The test's own questions go past it.
    pub fn chain_is(&self, chain: Chain) {
        self.endpoint.becomes(chain);
    }

    /// What somebody holds, as an owner reads it: `"4.98 tUSD"`.
    ///
    /// # Errors
    /// Where the chain does not answer.
    pub async fn holds(&self, whom: impl Into<Address>) -> Result<String> {
        let units = self.economy.rpc.erc20_balance(self.economy.dollar, whom.into()).await?;
        Ok(format!("{} {DOLLAR}", format_units(units, DECIMALS)))
    }

    /// The chain and its contracts, for whatever a test wants of them beyond this.
    #[must_use]
    pub const fn economy(&self) -> &Economy {
        &self.economy
    }

    /// The folder in which it keeps everything.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What every policy here begins with.
    fn head(&self, owner: Address) -> String {
        self.economy.policy_head(owner, self.endpoint.url())
    }

    /// Gives somebody test dollars.
    async fn give(&self, to: Address, amount: &str) -> Result {
        let digits = amount.strip_suffix(DOLLAR).map_or(amount, str::trim_end);
        let units = parse_units(digits, DECIMALS)?;
        Ok(self.economy.devnet.mint(self.economy.dollar, to, U256::from(units)).await?)
    }
}

/// One turn of a scripted mind: a call of a tool.
///
/// ```
/// # use marque::testing::call;
/// let turn = call("fetch", [("url", "https://feed.example")]);
/// assert_eq!(turn, r#"{"tool":"fetch","args":{"url":"https://feed.example"}}"#);
/// ```
pub fn call<K: AsRef<str>, V: Into<serde_json::Value>>(
    tool: &str,
    arguments: impl IntoIterator<Item = (K, V)>,
) -> String {
    let arguments =
        arguments.into_iter().map(|(name, value)| (name.as_ref().to_owned(), value.into()));
    let args = serde_json::Value::Object(arguments.collect());
    format!(r#"{{"tool":{},"args":{args}}}"#, serde_json::Value::from(tool))
}

/// The last turn of a scripted mind: its answer. A struct gives its fields, anything else is the
/// answer itself.
///
/// ```
/// # use marque::testing::answer;
/// assert_eq!(answer("14.2"), r#"{"tool":"finish","args":{"answer":"14.2"}}"#);
/// ```
pub fn answer(value: impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::Object(fields)) => call("finish", fields),
        Ok(other) => call("finish", [("answer", other)]),
        Err(error) => format!("this answer has no JSON: {error}"),
    }
}
