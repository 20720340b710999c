//! `marque sell DIR|URL`: a folder's files, or a service that is there already, for money.

use super::{
    Shared,
    mind::{Terms, only_agent},
};
use crate::failure::{Done, Failure};
use marque::process::LaunchError;
use std::{
    ffi::OsString,
    path::PathBuf,
    process::{ExitCode, Stdio},
};
use url::Url;

/// How a service is named.
const SERVICE: &str = "a service as http://127.0.0.1:PORT or https://HOST";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A folder whose files are sold, or the URL of a service that is put behind the counter: https,
    /// or http on this machine.
    #[arg(value_name = "DIR|URL")]
    what: String,
    /// The agent that is paid; needed where the home has several.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    #[command(flatten)]
    terms: Terms,
}

pub(crate) fn run(shared: &Shared, args: &Args) -> Done<ExitCode> {
    let home = shared.home()?;
    let agent = only_agent(&home, args.agent.as_deref())?;
    let terms = &args.terms;
    if terms.public_url.is_none() && terms.listen.ip().is_unspecified() {
        return Err(Failure::usage(format!("buyers cannot reach {} by that name", terms.listen))
            .help("say how they do: --public-url https://shop.example"));
    }
    if let Some(url) = &terms.public_url
        && (!matches!(url.scheme(), "http" | "https") || url.query().is_some())
    {
        return Err(Failure::usage(format!("--public-url {url}: not how buyers reach a shop"))
            .help("like https://shop.example, with a path if there is one, and no query"));
    }
    terms.check()?;
    if terms.facilitator.is_none() {
        super::doctor::warn_of_fees(shared, &agent)?;
    }
    let mut mind: Vec<OsString> = vec!["mind".into(), "sell".into()];
    let mut option = |name: &str, value: OsString| mind.extend([OsString::from(name), value]);
    let mut read = Vec::new();
    option("--agent", agent.into());
    if args.what.contains("://") {
        option("--upstream", String::from(service(&args.what)?).into());
    } else {
        let dir = PathBuf::from(&args.what);
        let real = dir.canonicalize().map_err(|error| {
            Failure::usage(format!("{}: {error}", dir.display()))
                .help(format!("name a folder, or {SERVICE}"))
        })?;
        if !real.is_dir() {
            return Err(Failure::usage(format!("{} is no folder", dir.display()))
                .help("name the folder that it lies in; every file there is sold"));
        }
        let homes = [super::real(home.path()), super::real(shared.owner_home()?.path())];
        if homes.iter().any(|home| home.starts_with(&real) || real.starts_with(home)) {
            return Err(Failure::usage(format!(
                "{} holds the steward's or the owner's home, or lies in one; keys and journals are \
                 not for sale",
                real.display()
            ))
            .help("name another folder"));
        }
        option("--dir", real.clone().into());
        read.push(real);
    }
    option("--price", terms.price.clone().into());
    option("--listen", terms.listen.to_string().into());
    let settle = clap::ValueEnum::to_possible_value(&terms.settle);
    if let Some(settle) = settle {
        option("--settle", settle.get_name().into());
    }
    let urls = [("--public-url", &terms.public_url), ("--facilitator", &terms.facilitator)];
    for (name, url) in urls {
        if let Some(url) = url {
            option(name, url.to_string().into());
        }
    }
    for (name, text) in [("--risk", &terms.risk), ("--risk-per-payer", &terms.risk_per_payer)] {
        if let Some(text) = text {
            option(name, text.into());
        }
    }
    for free in &terms.free {
        if !free.starts_with('/') {
            return Err(Failure::usage(format!("--free \"{free}\": a path begins with a slash")));
        }
        option("--free", free.into());
    }
    if shared.json {
        mind.extend(["--events".into(), "--json".into()]);
    }
    let grace = marque::process::AFTER_THE_CUSTOMERS;
    marque::process::launch(&home, mind, &read, Stdio::null(), grace, |_| {
        shared.unlock(false).map_err(LaunchError::from)
    })
    .map_err(Failure::from)
}

/// The service that is put behind the counter. In the clear one is reached on this machine alone.
fn service(text: &str) -> Done<Url> {
    let wrong = |why: &str| {
        Failure::usage(format!("{text}: {why}")).help(format!("name {SERVICE}, or a folder"))
    };
    let url: Url = text.parse().map_err(|error: url::ParseError| wrong(&error.to_string()))?;
    let here = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => return Err(wrong("it has no host")),
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if here => Ok(url),
        "http" => Err(wrong("another machine is reached by https alone")),
        _ => Err(wrong("a service speaks http or https")),
    }
}
