//! `marque new NAME`: an agent's home, key and policy draft; with `--rust`, a project of your own.

use super::{
    Shared,
    policy::{Answers, kinds, owner_address, params},
};
use crate::{
    failure::{Context as _, Done, Failure},
    story::say,
};
use alloy_primitives::Address;
use marque::{
    drafts::PolicyFiles,
    economy::{FEED, configure, create_agent},
    home::Home,
    owner::Owner,
};
use marque_policies::{DraftKind, DraftPayee, draft_sources};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The agent's name: lower-case letters, digits and dashes.
    name: String,
    /// The policy to start from; marque policy new replaces it later.
    #[arg(long, value_name = "KIND", value_parser = kinds(), default_value = "buyer")]
    policy: DraftKind,
    #[command(flatten)]
    answers: Answers,
    /// The owner's address; else that of the key in the owner's home. For a host that never has the
    /// owner's key.
    #[arg(long, value_name = "ADDRESS", value_parser = owner_address)]
    owner_address: Option<Address>,
    /// EIP-155 id of the chain that a new home serves, where no devnet says it.
    #[arg(long, value_name = "ID", default_value_t = 31337)]
    chain: u64,
    /// Also make a Cargo project there, with this agent in it.
    #[arg(long, value_name = "DIR")]
    rust: Option<PathBuf>,
}

/// What `marque devnet` writes into the home, so that drafts need no typing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DevnetFile {
    pub(crate) chain: u64,
    pub(crate) rpc: String,
    pub(crate) dollar: alloy_primitives::Address,
    pub(crate) registry: alloy_primitives::Address,
    pub(crate) seller: Option<SellerEntry>,
}

/// The small seller of a devnet.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SellerEntry {
    pub(crate) name: String,
    pub(crate) agent_id: u64,
    pub(crate) owner: alloy_primitives::Address,
    pub(crate) wallet: alloy_primitives::Address,
    pub(crate) host: String,
    pub(crate) sells: String,
}

pub(crate) async fn run(shared: &Shared, args: &Args) -> Done<ExitCode> {
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if args.name.is_empty() || args.name.len() > 32 || !args.name.chars().all(valid) {
        return Err(Failure::usage(format!("\"{}\" is not a name for an agent", args.name))
            .help("use at most 32 lower-case letters, digits and dashes"));
    }
    let home = shared.home()?;
    let owner = match args.owner_address {
        Some(owner) => owner,
        None => Owner::address_in(&shared.owner_home()?).map_err(|error| {
            Failure::new(error).help(
                "make the owner's key first (marque owner init), or give --owner-address where it \
                 is on another machine",
            )
        })?,
    };
    let exists = home.policy(&args.name).exists();
    let source = match &args.rust {
        Some(dir) => Some((dir, room(dir)?)),
        None if exists => {
            return Err(Failure::usage(format!("{} exists already", args.name))
                .help("choose another name, or add --rust DIR for a project with it"));
        }
        None => None,
    };
    if let Some((dir, source)) = source.filter(|_| exists) {
        project(dir, &args.name, source)?;
        if shared.json {
            say!("{}", serde_json::json!({ "agent": args.name, "project": dir }));
        } else {
            say!("{} is as it was; its project is {}", args.name, dir.display());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let devnet = devnet_file(&home)?;
    // What was said wrong is told before anything is made.
    let (draft, mut notes) = params(owner, devnet.as_ref(), args.policy, &args.answers)?;
    let first = home.agents().is_empty();
    let chain = devnet.as_ref().map_or(args.chain, |devnet| devnet.chain);
    let unlock = shared.unlock(first)?;
    let address = create_agent(&home, &args.name, chain, &unlock)?;
    let names = names(&draft.payees, devnet.as_ref().and_then(|devnet| devnet.seller.as_ref()));
    if !names.is_empty() {
        let pairs: Vec<_> =
            names.iter().map(|(name, place)| (name.as_str(), place.as_str())).collect();
        configure(&home, &args.name, &pairs).doing("agent.toml")?;
        let told = names.iter().filter(|(name, _)| *name != FEED);
        notes.extend(told.map(|(name, place)| {
            format!("the built-in model is to call {place} {name} (agent.toml, [names])")
        }));
    }
    let sources = draft_sources(args.policy, &draft);
    let (policy, cedar) = (home.policy(&args.name), Some(home.forbids(&args.name)));
    PolicyFiles { policy, owner: None, cedar }.write(&sources).map_err(Failure::new)?;
    if let Some((dir, source)) = source {
        project(dir, &args.name, source)?;
    }
    if shared.json {
        say!(
            "{}",
            serde_json::json!({ "agent": args.name, "address": address, "owner": owner, "policy": home.policy(&args.name), "notes": notes })
        );
    } else {
        say!("{} has the address {address}", args.name);
        say!("  its policy draft is {}", home.policy(&args.name).display());
        if let Some(dir) = &args.rust {
            say!("  its project is {}", dir.display());
        }
        notes.iter().for_each(|note| say!("  {note}"));
        if devnet.is_none() {
            say!(
                "  no devnet was found for this home: fill in chain, token and payees in the draft, or \
                 start one with marque devnet --home {} and make another agent",
                home.path().display()
            );
        }
        if home.shared_policy().exists() {
            let shared = home.shared_policy();
            say!("  {} is part of it: take out of the draft what stands there", shared.display());
        }
        say!("  next: read the draft, then marque policy adopt {}", args.name);
    }
    Ok(ExitCode::SUCCESS)
}

/// What the model calls places that have no plain name: a name reads better than a number and a port.
fn names(payees: &[DraftPayee], seller: Option<&SellerEntry>) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    names.extend(seller.map(|seller| (FEED.to_owned(), format!("http://{}", seller.host))));
    for DraftPayee { name, host, .. } in payees {
        let Some(host) = host else { continue };
        // As the guarded client reaches it: in the clear on this machine alone.
        let Ok(url) = format!("http://{host}").parse::<url::Url>() else { continue };
        let (here, number) = match url.host() {
            Some(url::Host::Domain(domain)) => (domain == "localhost", false),
            Some(url::Host::Ipv4(ip)) => (ip.is_loopback(), true),
            Some(url::Host::Ipv6(ip)) => (ip.is_loopback(), true),
            None => continue,
        };
        let known = seller.is_some_and(|seller| seller.host == *host);
        if !known && (here || number || url.port().is_some()) {
            let scheme = if here { "http" } else { "https" };
            names.insert(format!("https://{name}.example"), format!("{scheme}://{host}"));
        }
    }
    names
}

/// The devnet file of this home, if there is one.
pub(crate) fn devnet_file(home: &Home) -> Done<Option<DevnetFile>> {
    let path = home.devnet();
    match marque_store_files::follow(&path, 1 << 16) {
        Ok(text) => toml::from_str(&text).map(Some).doing(path.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::new(format!("{}: {error}", path.display()))),
    }
}

/// This workspace's manifest, whose profile serves a project as well.
const WORKSPACE: &str = include_str!("../../Cargo.toml");

/// The build profile of this workspace: what is unbearable unoptimised, and no more symbols than a trace
/// needs.
fn profile() -> &'static str {
    let from = WORKSPACE.find("[profile.dev]").unwrap_or(WORKSPACE.len());
    let rest = WORKSPACE.get(from..).unwrap_or_default();
    rest.split("[profile.release]").next().unwrap_or_default().trim_end()
}

/// A name that Cargo takes for a package, as near to the folder's as can be.
fn package(dir: &Path, agent: &str) -> String {
    let name = dir.file_name().map_or(agent.into(), |name| name.to_string_lossy());
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let name: String = name.trim_matches('.').chars().map(plain).collect();
    match name.chars().next() {
        Some(first) if first.is_ascii_alphabetic() || first == '_' => name,
        _ => format!("agent-{}", name.trim_start_matches('-')),
    }
}

/// Makes room for a project in `dir`; answers the source that it is made from.
fn room(dir: &Path) -> Done<&'static Path> {
    if dir.join("Cargo.toml").exists() {
        return Err(Failure::usage(format!("{} holds a project already", dir.display())));
    }
    if dir.exists() && !dir.is_dir() {
        return Err(Failure::usage(format!("{} is no folder", dir.display())));
    }
    let marque = Path::new(env!("CARGO_MANIFEST_DIR"));
    if !marque.join("Cargo.toml").exists() {
        return Err(Failure::new("the source that this command was built from is gone")
            .help("build it again from a clone, and run it from there"));
    }
    for folder in ["src", ".cargo"] {
        let folder = dir.join(folder);
        std::fs::create_dir_all(&folder)
            .map_err(|error| Failure::usage(format!("{}: {error}", folder.display())))?;
    }
    Ok(marque)
}

/// A project outside this workspace with the same program as `examples/hello.rs`.
fn project(dir: &Path, agent: &str, marque: &Path) -> Done<()> {
    let (name, path) = (package(dir, agent), marque.display().to_string());
    let manifest = format!(
        "[package]\nname    = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
         [dependencies]\nmarque   = {{ path = {path:?} }}\nschemars = \"1\"\n\
         serde    = {{ version = \"1\", features = [\"derive\"] }}\n\n\
         # `marque::testing`: a whole economy inside a test; see the end of src/main.rs.\n\
         [dev-dependencies]\nmarque = {{ path = {path:?}, features = [\"testing\"] }}\n\
         tokio  = {{ version = \"1\", features = [\"macros\", \"rt-multi-thread\"] }}\n\n\
         [workspace]\n\n{}\n",
        profile()
    );
    let test: String = include_str!("new/project_test.rs")
        .lines()
        .map(|line| if line.is_empty() { "\n".to_owned() } else { format!("    {line}\n") })
        .collect();
    // The lints of this workspace are not those of the new project.
    let program: String = include_str!("../../examples/hello.rs")
        .split_inclusive("\n\n")
        .filter(|part| !part.starts_with("#![expect"))
        .collect::<String>()
        .replace("\"scout\"", &format!("{agent:?}"));
    let program = program.replacen(
        "#[tool]",
        "///\n/// The policy permits it by the lines [[tool]] and name = \"fetch_data\".\n#[tool]",
        1,
    );
    let program = format!("{program}\n#[cfg(test)]\nmod tests {{\n{test}}}\n");
    let config = "# llama.cpp is unbearable unoptimised.\n[env]\nLLAMA_LIB_PROFILE = \"Release\"\n";
    for (file, text) in [
        ("Cargo.toml", manifest.as_str()),
        ("src/main.rs", program.as_str()),
        (".cargo/config.toml", config),
        (".gitignore", "/target\n"),
    ] {
        std::fs::write(dir.join(file), text).doing(dir.join(file).display())?;
    }
    // The same versions as here: they are known to work together, and some are pinned for a reason.
    let lock = dir.join("Cargo.lock");
    std::fs::copy(marque.join("Cargo.lock"), &lock).doing(lock.display())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_has_a_name_that_cargo_takes() {
        for (folder, name) in [
            ("scout", "scout"),
            ("my agent", "my-agent"),
            ("a.b", "a-b"),
            ("2fast", "agent-2fast"),
            ("wächter", "w-chter"),
            ("--", "agent-"),
            ("/", "pilot"),
        ] {
            assert_eq!(package(Path::new(folder), "pilot"), name, "{folder}");
        }
        assert_eq!(package(Path::new("/"), "2fast"), "agent-2fast");
    }

    #[test]
    fn a_project_is_built_as_this_workspace_is() {
        let profile: toml::Table = profile().parse().unwrap();
        let packages = &profile["profile"]["dev"]["package"];
        assert_eq!(packages["marque-models"]["opt-level"].as_integer(), Some(3), "{packages}");
        assert_eq!(packages["*"]["debug"].as_bool(), Some(false), "{packages}");
    }
}
