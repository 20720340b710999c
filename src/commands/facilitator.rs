//! `marque facilitator`: verifies and settles x402 payments for others, within a policy of its own.

use super::{Shared, mind::only_agent};
use crate::failure::{Done, Failure};
use marque::process::LaunchError;
use std::{
    ffi::OsString,
    net::SocketAddr,
    process::{ExitCode, Stdio},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The agent whose account settles; needed where the home has several. Its policy has a section
    /// such as [facilitator] with assets = ["USDC"], and [limits.gas].
    agent: Option<String>,
    /// Where to listen.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:4023")]
    listen: SocketAddr,
}

pub(crate) fn run(shared: &Shared, args: &Args) -> Done<ExitCode> {
    let home = shared.home()?;
    let agent = only_agent(&home, args.agent.as_deref())?;
    super::doctor::warn_of_fees(shared, &agent)?;
    let mut mind: Vec<OsString> = vec!["mind".into(), "facilitate".into(), "--agent".into()];
    mind.extend([agent.into(), "--listen".into(), args.listen.to_string().into()]);
    if shared.json {
        mind.extend(["--events".into(), "--json".into()]);
    }
    let grace = marque::process::AFTER_THE_CUSTOMERS;
    marque::process::launch(&home, mind, &[], Stdio::null(), grace, |_| {
        shared.unlock(false).map_err(LaunchError::from)
    })
    .map_err(Failure::from)
}
