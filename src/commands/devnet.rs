//! `marque devnet`: a chain with contracts, a faucet and a small seller, for people's first steps.

use super::{
    Shared,
    demo::policies,
    new::{DevnetFile, SellerEntry},
};
use crate::{
    failure::{Context as _, Done, Failure},
    story::{detail, good, odd, say},
};
use marque::economy::Economy;
use marque_identity::devnet::{Devnet, Options};
use marque_store_files as store;
use std::{path::PathBuf, process::ExitCode};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Port of the chain's JSON-RPC on 127.0.0.1.
    #[arg(long, default_value_t = 8545)]
    port: u16,
    /// Port of the seller on 127.0.0.1.
    #[arg(long, default_value_t = 4021)]
    seller_port: u16,
}

pub(crate) async fn run(shared: &Shared, args: Args) -> Done<ExitCode> {
    let home = shared.home()?;
    std::fs::create_dir_all(home.path()).doing(home.path().display())?;
    // A chain of somebody else's that answers on the port would be taken for our own.
    free(args.port, "--port")?;
    let seller = free(args.seller_port, "--seller-port")?;
    if !shared.json && marque_steward::Home::open(home.path()).is_ok_and(|home| home.has_journal())
    {
        odd(&format!(
            "{} was begun on another chain, and a home is for one: its agents cannot use this one. Begin \
             again: Ctrl-C, then marque devnet --home DIR, and that --home with every command",
            home.path().display()
        ));
    }
    if !shared.json {
        say!("starting a chain, contracts and a seller, a few seconds …");
    }
    let temporary = tempfile::tempdir().doing("a folder for the devnet")?;
    let options = Options { port: Some(args.port), ..Options::default() };
    let devnet = Devnet::start(&options).await?;
    let program = std::env::current_exe().doing("my own path")?;
    let economy = Economy::start(temporary.path(), program, devnet).await?;
    let (feed, id, _running) = small_seller(&economy, temporary.path(), seller).await?;
    let file = DevnetFile {
        chain: economy.devnet.chain_id(),
        rpc: economy.devnet.url().to_owned(),
        dollar: economy.dollar,
        registry: economy.registry,
        seller: Some(SellerEntry {
            name: "feed".to_owned(),
            agent_id: id,
            owner: feed.owner.address(),
            wallet: feed.address,
            host: seller.to_string(),
            sells: format!("http://{seller}/wind.csv"),
        }),
    };
    let text = toml::to_string(&file).doing("the devnet file")?;
    store::replace_followed(&home.devnet(), text.as_bytes(), store::SHARED)
        .doing(home.devnet().display())?;
    if shared.json {
        say!("{}", serde_json::to_string(&file).doing("the devnet file")?);
    } else {
        good(&format!("chain {} at {}, a block every second", file.chain, file.rpc));
        detail(&format!("test dollar tUSD {}", file.dollar));
        detail(&format!("ERC-8004 identity registry {}", file.registry));
        good(&format!("feed sells http://{seller}/wind.csv for 0.02 tUSD"));
        detail("agents made here call it https://feed.example (agent.toml, [names])");
        say!("\nIn another terminal:");
        say!("  marque owner init");
        say!("  marque new scout");
        say!("  marque policy adopt scout");
        say!("  marque fund scout \"5 tUSD\" --faucet");
        say!("  marque run scout \"Fetch https://feed.example/wind.csv and report the value.\"");
        say!("\nCtrl-C ends the chain and forgets it.");
    }
    marque::process::stop_signal().await;
    // Drafts that name this chain would point nowhere; another devnet's file stays.
    if store::follow(&home.devnet(), 1 << 16).is_ok_and(|written| written == text) {
        std::fs::remove_file(home.devnet()).doing(home.devnet().display())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The address of a port of this machine that nobody listens on.
fn free(port: u16, flag: &str) -> Done<std::net::SocketAddr> {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    match std::net::TcpListener::bind(address) {
        Ok(_) => Ok(address),
        Err(error) => Err(Failure::new(format!("port {port}: {error}"))
            .help(format!("is a devnet running already? else choose another {flag}"))),
    }
}

async fn small_seller(
    economy: &Economy,
    dir: &std::path::Path,
    listen: std::net::SocketAddr,
) -> Done<(marque::economy::Party, u64, marque::economy::Running)> {
    let data: PathBuf = dir.join("wind.csv");
    std::fs::write(&data, include_bytes!("../../examples/data/wind.csv")).doing(data.display())?;
    let party = economy.party("feed").await?;
    economy.adopt(&party, &policies::seller(economy, party.owner.address())).await?;
    let (listen, file) = (listen.to_string(), data.display().to_string());
    let mind = [
        "mind",
        "sell-file",
        "--agent",
        "feed",
        "--listen",
        &listen,
        "--file",
        &file,
        "--price",
        "0.02 tUSD",
    ];
    let running = economy.run(&party, &mind).await?;
    let endpoint = format!("http://{listen}");
    let id = economy
        .register(&party, &running.client, "hourly wind, a CSV file", Some(&endpoint))
        .await?;
    let id = u64::try_from(id).doing("the seller's identity")?;
    Ok((party, id, running))
}
