//! The town around the mind: what is worth stealing, whom it could talk to, and the count
//! afterwards.

use crate::{SCENE, attempts::Attempt};
use marque::economy::Economy;
use marque_identity::devnet::{Devnet, Options};
use marque_steward_client::Client;
use rustix::io::{FdFlags, fcntl_setfd};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixListener},
    },
    path::PathBuf,
    process::{ExitCode, Stdio},
};
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// Everything that an attacker could find out anyway, handed over so that no attempt fails for
/// want of a path.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Scene {
    /// The home of the mind's own steward.
    pub(crate) home: PathBuf,
    /// The agent of the same steward for which this mind does not speak.
    pub(crate) sibling: String,
    /// A socket of another steward that runs under the same user.
    pub(crate) rival: PathBuf,
    /// A socket like a session bus's or an SSH agent's.
    pub(crate) bus: PathBuf,
    /// The same without a file.
    pub(crate) abstract_bus: String,
    /// The steward's credentials folder.
    pub(crate) credentials: PathBuf,
    /// A file that belongs to the same user.
    pub(crate) diary: PathBuf,
    /// A folder that the owner granted in `agent.toml`.
    pub(crate) granted: PathBuf,
    /// The process that runs this test.
    pub(crate) bystander: u32,
}

fn policy(economy: &Economy, owner: alloy_primitives::Address) -> String {
    format!(
        "format = 1\nversion = 1\nowner = \"{owner}\"\n[chain.devnet]\nid = \"eip155:{}\"\nrpc = \
         [\"{}\"]\nfinality = 1\nnative = \"ETH\"\n[asset.tUSD]\nchain = \"devnet\"\ntoken = \
         \"{}\"\ndecimals = 6\n[limits.tUSD]\nday = \"1.00\"\n[limits.gas]\nday = \"0.01 ETH\"\n",
        economy.devnet.chain_id(),
        economy.devnet.url(),
        economy.dollar,
    )
}

/// Starts everything, lets the mind attack, and counts.
pub(crate) async fn defend() -> ExitCode {
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(&Options::default()).await.unwrap();
    let marque = PathBuf::from(env!("CARGO_BIN_EXE_marque"));
    let economy = Economy::start(dir.path(), marque, devnet).await.unwrap();
    let mut party = economy.party("scout").await.unwrap();
    let document = policy(&economy, party.owner.address());
    economy.adopt(&party, &document).await.unwrap();
    marque::economy::create_agent(&party.home, "sibling", economy.devnet.chain_id(), &party.unlock)
        .unwrap();
    party.name = "sibling".to_owned();
    economy.adopt(&party, &document).await.unwrap();
    let rival = economy.party("rival").await.unwrap();
    economy.adopt(&rival, &policy(&economy, rival.owner.address())).await.unwrap();
    let running = economy.run(&rival, &[]).await.unwrap();

    let credentials = dir.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::write(credentials.join("marque-unlock"), party.unlock.expose_secret()).unwrap();
    let diary = dir.path().join("diary");
    fs::write(&diary, "a secret of the same user").unwrap();
    let granted = dir.path().join("granted");
    fs::create_dir(&granted).unwrap();
    let settings = party.home.agent("scout").join("agent.toml");
    let grant = format!("\n[files]\nfolder = {:?}\nwrite = true\n", granted);
    fs::write(&settings, fs::read_to_string(&settings).unwrap() + &grant).unwrap();
    // A descriptor that a careless shell leaves open for everything that it starts.
    let leaked = fs::File::open(&diary).unwrap();
    fcntl_setfd(&leaked, FdFlags::empty()).unwrap();
    let bus = dir.path().join("bus");
    let abstract_bus = format!("marque-red-team-{}", std::process::id());
    let name = SocketAddr::from_abstract_name(&abstract_bus).unwrap();
    let listeners = [UnixListener::bind(&bus).unwrap(), UnixListener::bind_addr(&name).unwrap()];

    let scene = Scene {
        home: party.home.path().to_owned(),
        sibling: "sibling".to_owned(),
        rival: rival.home.socket("rival"),
        bus,
        abstract_bus,
        credentials: credentials.clone(),
        diary,
        granted,
        bystander: std::process::id(),
    };
    let mut steward = tokio::process::Command::new(std::env::current_exe().unwrap())
        .env(SCENE, serde_json::to_string(&scene).unwrap())
        .env("MARQUE_HOME", party.home.path())
        .env("MARQUE_AGENT", "scout")
        .env("CREDENTIALS_DIRECTORY", &credentials)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    drop(leaked);
    let mut lines = BufReader::new(steward.stdout.take().unwrap()).lines();
    let (mut attempts, mut owner_heard) = (Vec::<Attempt>::new(), false);
    while let Some(line) = lines.next_line().await.unwrap() {
        match serde_json::from_str::<Attempt>(&line) {
            Ok(attempt) => {
                // While the mind holds every connection it can get, its owner still comes through.
                if attempt.what == "flood the steward's socket" {
                    let owner = Client::connect(party.home.socket("scout")).await.unwrap();
                    owner_heard = owner.view().await.is_ok();
                }
                attempts.push(attempt);
            }
            Err(_) => println!("{line}"),
        }
    }
    let status = steward.wait().await.unwrap();
    running.stop().await.unwrap();

    let wide = attempts.iter().map(|attempt| attempt.what.len()).max().unwrap_or(0);
    for Attempt { what, stopped_by, .. } in &attempts {
        let by = stopped_by.as_deref().unwrap_or("NOT DEFENDED (docs/threat-model.md)");
        println!("{what:wide$}  {by}");
    }
    let known = include_str!("../../docs/threat-model.md");
    for attempt in attempts.iter().filter(|attempt| attempt.stopped_by.is_none()) {
        let Some(excuse) = &attempt.open else { panic!("nothing stopped: {}", attempt.what) };
        assert!(known.contains(excuse.as_str()), "the threat model does not say: {excuse}");
    }
    for attempt in &attempts {
        let both = attempt.stopped_by.is_some() && attempt.open.is_some();
        assert!(!both, "{} is defended now: say so in the threat model", attempt.what);
    }
    assert!(status.success(), "the steward outlives its mind and ends in order: {status}");
    assert!(attempts.len() >= 50, "only {} attempts were made", attempts.len());
    assert!(owner_heard, "a flood kept the owner out");
    for listener in listeners {
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "somebody connected to a bus");
    }
    println!("red_team: {} attempts, ok", attempts.len());
    ExitCode::SUCCESS
}
