//! The cast of the demo: chain, owners, stewards and minds, built in the order in which people
//! would do it by hand.

use super::policies::{self, Seller};
use crate::{
    commands::mind::{Attempt, MindEvent},
    failure::{Context as _, Done, Failure},
    story::{detail, good, short},
};
use alloy_primitives::U256;
use marque::{
    economy::{DOLLAR, Economy, FEED, Party, Running, configure},
    process::mind_command,
};
use marque_identity::devnet::Devnet;
use std::{path::Path, process::Stdio};
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// Price of the file.
const FILE_PRICE: &str = "0.02 tUSD";

/// Price of one token of inference.
const TOKEN_PRICE: &str = "0.0005 tUSD";

/// A party whose steward runs.
#[derive(Debug)]
pub(super) struct Actor {
    pub(super) party: Party,
    pub(super) running: Running,
    pub(super) id: U256,
    pub(super) host: String,
}

/// Everything.
#[derive(Debug)]
pub(super) struct World {
    pub(super) economy: Economy,
    pub(super) scout: Actor,
    pub(super) feed: Actor,
    pub(super) muscle: Actor,
}

impl World {
    /// Builds it; a few seconds, most of them blocks of the chain.
    pub(super) async fn build(dir: &Path) -> Done<Self> {
        std::fs::create_dir_all(dir).doing(dir.display())?;
        let program = std::env::current_exe().doing("my own path")?;
        let data = dir.join("wind.csv");
        std::fs::write(&data, include_bytes!("../../../examples/data/wind.csv"))
            .doing(data.display())?;
        let devnet = Devnet::start(&marque_identity::devnet::Options::default()).await?;
        let economy = Economy::start(dir, program, devnet).await?;
        good(&format!("a chain that mines every second at {}", economy.devnet.url()));
        detail(&format!(
            "test dollar {DOLLAR} {}, ERC-8004 registry {}",
            economy.dollar, economy.registry
        ));
        let (file, data) = (free_address()?, data.display().to_string());
        let inference = free_address()?;
        let feed_mind = [
            "mind",
            "sell-file",
            "--agent",
            "feed",
            "--listen",
            &file,
            "--file",
            &data,
            "--price",
            FILE_PRICE,
        ];
        let muscle_mind = [
            "mind",
            "sell-inference",
            "--agent",
            "muscle",
            "--listen",
            &inference,
            "--price",
            TOKEN_PRICE,
        ];
        let (feed, muscle) = tokio::try_join!(
            seller(&economy, "feed", &file, &feed_mind, "hourly wind, a CSV file"),
            seller(&economy, "muscle", &inference, &muscle_mind, "completions by a local model"),
        )?;
        let party = economy.party("scout").await?;
        economy.mint(party.address, 5_000_000).await?;
        let sellers = [&feed, &muscle].map(|actor| Seller {
            party: &actor.party,
            id: actor.id,
            host: actor.host.clone(),
        });
        let policy = policies::buyer(&economy, party.owner.address(), &sellers);
        economy.adopt(&party, &policy).await?;
        configure(&party.home, "scout", &[(FEED, &format!("http://{file}"))])
            .doing("agent.toml")?;
        let running = economy.run(&party, &[]).await?;
        let id = economy.register(&party, &running.client, "buys for its owner", None).await?;
        let scout = Actor { party, running, id, host: String::new() };
        Ok(Self { economy, scout, feed, muscle })
    }

    /// Says who is there.
    pub(super) fn introduce(&self) {
        let sells = [
            (&self.feed, format!("sells wind.csv for {FILE_PRICE}")),
            (&self.muscle, format!("sells inference for {TOKEN_PRICE} a token")),
            (&self.scout, "buys, with 5.00 tUSD and a policy that its owner signed".to_owned()),
        ];
        for (actor, what) in sells {
            good(&format!("{} is ERC-8004 identity {}: {what}", actor.party.name, actor.id));
            detail(&format!(
                "owner {}, wallet {}",
                short(actor.party.owner.address()),
                short(actor.party.address)
            ));
        }
    }

    /// Gives scout's mind a goal and hears what it does.
    pub(super) async fn ask(
        &self,
        task: &str,
        goal: &str,
        model: Option<&Path>,
    ) -> Done<Vec<MindEvent>> {
        let mut args: Vec<std::ffi::OsString> =
            ["mind", "run", "--agent", "scout", "--events", "--task", task, "--goal", goal]
                .into_iter()
                .map(Into::into)
                .collect();
        if let Some(model) = model {
            args.extend(["--model".into(), model.into()]);
        }
        self.mind(args).await
    }

    /// What a hired worker wrote, if this is the result of `hire_compute`: the tool keeps it whole in
    /// the mind's folder.
    pub(super) fn delivered(&self, result: &str) -> Option<String> {
        let result: serde_json::Value = serde_json::from_str(result).ok()?;
        let id = result.get("id")?.as_str()?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if !id.starts_with("job-") || !id.chars().all(plain) {
            return None;
        }
        let kept = self.scout.party.home.mind("scout").join("kept").join(format!("{id}.txt"));
        let text = std::fs::read_to_string(kept).ok()?;
        Some(text.chars().filter(|c| !c.is_control()).take(200).collect())
    }

    /// Lets the robber have scout's connection.
    pub(super) async fn rob(&self) -> Done<Vec<Attempt>> {
        let args = ["mind", "rob", "--agent", "scout", "--payee", "feed", "--asset", DOLLAR];
        self.mind(args.into_iter().map(Into::into).collect()).await
    }

    /// Runs a mind beside scout's steward and reads its lines.
    async fn mind<T: serde::de::DeserializeOwned>(
        &self,
        args: Vec<std::ffi::OsString>,
    ) -> Done<Vec<T>> {
        let mut child = mind_command(&self.scout.party.home, args)
            .map_err(Failure::new)?
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .doing("scout's mind")?;
        let stdout = child.stdout.take().ok_or_else(|| Failure::new("a mind without output"))?;
        let mut lines = BufReader::new(stdout).lines();
        let mut heard = Vec::new();
        while let Some(line) = lines.next_line().await.doing("scout's mind")? {
            heard.push(serde_json::from_str(&line).doing(format!("scout's mind said {line}"))?);
        }
        let status = child.wait().await.doing("scout's mind")?;
        if !status.success() && heard.is_empty() {
            return Err(Failure::new(format!("scout's mind ended with {status}")));
        }
        Ok(heard)
    }

    /// Stops the stewards; the journals' folders remain, with each owner's address.
    pub(super) async fn stop(
        self,
    ) -> Done<Vec<(String, std::path::PathBuf, alloy_primitives::Address)>> {
        let mut journals = Vec::new();
        for actor in [self.scout, self.feed, self.muscle] {
            let Actor { party, running, .. } = actor;
            running.stop().await?;
            journals.push((party.name.clone(), party.home.journal(), party.owner.address()));
        }
        Ok(journals)
    }
}

/// A seller: policy first, then steward and mind, then the identity.
async fn seller(
    economy: &Economy,
    name: &str,
    host: &str,
    mind: &[&str],
    description: &str,
) -> Done<Actor> {
    let party = economy.party(name).await?;
    economy.adopt(&party, &policies::seller(economy, party.owner.address())).await?;
    let running = economy.run(&party, mind).await?;
    let endpoint = format!("http://{host}");
    let id = economy.register(&party, &running.client, description, Some(&endpoint)).await?;
    Ok(Actor { party, running, id, host: host.to_owned() })
}

/// A port that was free a moment ago; the policy names it before the seller listens.
fn free_address() -> Done<String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").doing("a free port")?;
    Ok(listener.local_addr().doing("a free port")?.to_string())
}
