//! When a task gives up, and what it says then.

use crate::Call;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, time::Duration};

/// When a task gives up. These limits lie beneath the policy, which stays the authority: they end a
/// task early, and never permit what a policy does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskLimits {
    /// The most calls before the answer.
    pub steps: u32,
    /// So many equal calls are a loop; the last of them is not made.
    pub repeats: u32,
    /// The most tokens that the model may read and write in all; the reply that passes it is the
    /// last. `None` leaves it to `steps`.
    #[serde(default)]
    pub tokens: Option<u64>,
    /// The most time at work, over all runs of the task. Waiting for the owner is not work.
    #[serde(default)]
    pub time: Option<Duration>,
    /// The most time of one call. Waiting for the owner does not count.
    #[serde(default = "TaskLimits::default_timeout")]
    pub timeout: Duration,
    /// The most that may be paid in all, by the names of assets in the policy: `"USDC"`, `"0.50"`.
    /// An asset that is not named is left to the policy.
    #[serde(default)]
    pub spend: BTreeMap<String, String>,
}

/// Why a task ended without an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Failure {
    /// Too many calls without an answer.
    Steps(u32),
    /// The same call again and again.
    Repeated(Call),
    /// The same calls in turn, with the same results.
    Circle(Vec<Call>),
    /// Too many tokens without an answer: the limit.
    Tokens(u64),
    /// Too much time without an answer: the limit.
    Time(Duration),
    /// Its name had another task before, which is not kept any more, and of whose requests the steward
    /// knows.
    NameUsed,
    /// The model wrote something that is no call.
    Unreadable {
        /// What it wrote, shortened.
        text: String,
        /// What is wrong with it.
        why: String,
    },
}

impl TaskLimits {
    /// The most that may be paid in all, as an owner writes it: `"0.50 USDC"`. In place of what was
    /// said of that asset before.
    ///
    /// A text that is no amount permits no payment in anything: the first purchase says what is
    /// wrong with it.
    #[must_use]
    pub fn spend(mut self, amount: &str) -> Self {
        let (number, asset) = amount.trim().split_once(' ').unwrap_or((amount, ""));
        self.spend.insert(asset.trim().to_owned(), number.to_owned());
        self
    }

    /// Two minutes.
    const fn default_timeout() -> Duration {
        Duration::from_secs(120)
    }
}

impl Default for TaskLimits {
    /// 16 steps, 3 repeats, two minutes a call; tokens, time and money are left to these and to the
    /// policy.
    fn default() -> Self {
        Self {
            steps: 16,
            repeats: 3,
            tokens: None,
            time: None,
            timeout: Self::default_timeout(),
            spend: BTreeMap::new(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps(limit) => write!(f, "no answer after {limit} steps"),
            Self::Repeated(call) => write!(f, "the model repeats itself: {call}"),
            Self::Circle(calls) => {
                let calls: Vec<_> = calls.iter().map(Call::to_string).collect();
                write!(f, "the model goes round in a circle: {}", calls.join(", "))
            }
            Self::Tokens(limit) => write!(f, "no answer within {limit} tokens"),
            Self::Time(limit) => write!(f, "no answer within {} s of work", limit.as_secs_f32()),
            Self::NameUsed => f.write_str(
                "its name was used before, for another goal or in another way, and what was asked then \
                 stands; take another name",
            ),
            Self::Unreadable { text, why } => {
                write!(f, "the model wrote no call but {text:?} ({why})")
            }
        }
    }
}
