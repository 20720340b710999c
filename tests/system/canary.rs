//! Canaries: secrets that are unique, put into every secret input, and looked for in everything
//! that a whole life leaves behind.

use crate::support::{MARQUE, Town, free_address};
use base64::Engine as _;
use marque_identity_keys::KeyDir;
use secrecy::{ExposeSecret as _, SecretString};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead as _, Read as _, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

/// Memory is read by pages, and each piece reaches into the next one, so that nothing is missed
/// between two.
const PAGE: u64 = 4_096;
const OVERLAP: u64 = 256;

/// What is looked for: every form that a secret could take, by the secret's name.
struct Canaries {
    forms: Vec<(String, Vec<u8>)>,
}

impl Canaries {
    fn new(secrets: &[(&str, &[u8])]) -> Self {
        let mut forms = Vec::new();
        for (name, secret) in secrets {
            let mut add =
                |how: &str, bytes: Vec<u8>| forms.push((format!("{name} ({how})"), bytes));
            let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let hex = hex::encode(secret);
            add("raw", secret.to_vec());
            add("hex", hex.clone().into_bytes());
            add("HEX", hex.to_uppercase().into_bytes());
            add("hex, UTF-16", wide(&hex));
            if let Ok(text) = std::str::from_utf8(secret) {
                add("UTF-16", wide(text));
            }
            // Inside of something longer the same bytes have three looks; the edges are mixed.
            for offset in 0..3 {
                let padded = [vec![0; offset], secret.to_vec()].concat();
                let coded = base64::engine::general_purpose::STANDARD_NO_PAD.encode(padded);
                let (from, to) = (if offset == 0 { 0 } else { 4 }, coded.len() / 4 * 4 - 4);
                add(&format!("base64 {offset}"), coded.as_bytes()[from..to].to_vec());
            }
        }
        Self { forms }
    }

    /// The names of the forms that are in `bytes`.
    fn find(&self, bytes: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        for (name, form) in &self.forms {
            let (first, mut rest) = (form[0], bytes);
            // Skipping to a byte is the one search that is quick without optimisation.
            while let Ok(1..) = rest.skip_until(first) {
                let at = bytes.len() - rest.len() - 1;
                if bytes[at..].starts_with(form) {
                    found.push(name.clone());
                }
            }
        }
        found
    }

    /// What is found in the files of a folder, with the place.
    fn find_in_folder(&self, folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_dir() {
                found.extend(self.find_in_folder(&path));
            } else if kind.is_file() {
                let here = self.find(&fs::read(&path).unwrap());
                found.extend(here.into_iter().map(|name| format!("{name} in {}", path.display())));
            }
        }
        found
    }

    /// What is found in the whole memory of a process, with how much was read.
    fn find_in_memory(&self, pid: u32) -> (BTreeMap<String, usize>, usize) {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
        let (mut found, mut read) = (BTreeMap::new(), 0);
        let pages = File::open(format!("/proc/{pid}/pagemap")).unwrap();
        let mut bytes = vec![0; usize::try_from(PAGE + OVERLAP).unwrap()];
        for line in maps.lines() {
            let (range, rest) = line.split_once(' ').unwrap();
            let (from, to) = range.split_once('-').unwrap();
            let number = |text| u64::from_str_radix(text, 16).unwrap();
            // What is mapped from a file and cannot be written is that file.
            let is_file = rest.contains(" /") && !rest.contains('w');
            if !rest.starts_with('r') || is_file || rest.contains("[v") {
                continue;
            }
            // Only pages that are there: much is reserved and was never touched.
            let (from, to) = (number(from) / PAGE, number(to) / PAGE);
            let mut there = vec![0; usize::try_from((to - from) * 8).unwrap()];
            if pages.read_exact_at(&mut there, from * 8).is_err() {
                continue;
            }
            for (page, mark) in (from..to).zip(there.chunks(8)) {
                let is_there = mark[7] & 0xc0 != 0;
                if !is_there {
                    continue;
                }
                let Ok(here) = memory.read_at(&mut bytes, page * PAGE) else { continue };
                read += here;
                for name in self.find(&bytes[..here]) {
                    *found.entry(name).or_default() += 1;
                }
            }
        }
        (found, read)
    }
}

/// A home and an owner whose secrets are all canaries.
struct Life {
    dir: PathBuf,
    turn: u32,
}

impl Life {
    /// A command with everything switched on that talks, its words kept in a file each.
    fn command(&mut self, args: &[&str]) -> Command {
        self.turn += 1;
        let said = self.dir.join("said");
        fs::create_dir_all(&said).unwrap();
        let file = |kind: &str| File::create(said.join(format!("{}.{kind}", self.turn))).unwrap();
        let mut command = Command::new(MARQUE);
        command
            .arg("--home")
            .arg(self.dir.join("home"))
            .arg("--owner-home")
            .arg(self.dir.join("owner"))
            .args(args)
            .env("CREDENTIALS_DIRECTORY", self.dir.with_file_name("credentials"))
            .env("MARQUE_LOG", "trace")
            .env("RUST_BACKTRACE", "full")
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(file("out"))
            .stderr(file("err"));
        command
    }

    /// Runs it; its exit code and its standard output.
    fn run(&mut self, args: &[&str]) -> (i32, String) {
        let status = self.command(args).status().unwrap();
        let said = self.dir.join(format!("said/{}.out", self.turn));
        (status.code().unwrap_or(-1), fs::read_to_string(said).unwrap())
    }

    fn ok(&mut self, args: &[&str]) -> String {
        let (code, said) = self.run(args);
        let err = fs::read_to_string(self.dir.join(format!("said/{}.err", self.turn))).unwrap();
        assert_eq!(code, 0, "{args:?}: {}", err.lines().last().unwrap_or_default());
        said
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("home/agents/scout/steward.sock")
    }

    fn amend(&self, change: impl FnOnce(String) -> String) {
        let draft = self.dir.join("home/agents/scout/policy.toml");
        let text = fs::read_to_string(&draft).unwrap();
        fs::write(&draft, change(text)).unwrap();
    }
}

/// The children of a process.
fn children(parent: u32) -> Vec<u32> {
    let numbers = fs::read_dir("/proc").unwrap().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_child = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line.split_whitespace().eq(["PPid:", &parent.to_string()]))
    };
    numbers.filter(is_child).collect()
}

fn random() -> [u8; 32] {
    let secret = marque_identity_keys::secret::generate().unwrap();
    hex::decode(secret.expose_secret()).unwrap().try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_anything_that_a_whole_life_leaves_behind() {
    let town = Town::new().await;
    let feed = town.seller("feed", "0.02 tUSD").await;
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("life");
    fs::create_dir_all(dir.join("home")).unwrap();
    fs::create_dir(outer.path().join("credentials")).unwrap();
    let devnet = format!(
        "chain = {}\nrpc = \"{}\"\ndollar = \"{}\"\nregistry = \"{}\"\n\n[seller]\nname = \"feed\"\n\
         agent_id = {}\nowner = \"{}\"\nwallet = \"{}\"\nhost = \"{}\"\nsells = \"{}\"\n",
        town.economy.devnet.chain_id(),
        town.economy.devnet.url(),
        town.economy.dollar,
        town.economy.registry,
        feed.id,
        feed.party.owner.address(),
        feed.party.address,
        feed.host,
        feed.goods(),
    );
    fs::write(dir.join("home/devnet.toml"), devnet).unwrap();
    let listen = free_address();
    tokio::task::spawn_blocking(move || live(dir, outer.path(), &listen)).await.unwrap();
}

fn live(dir: PathBuf, outer: &Path, listen: &str) {
    let (unlock, owner) = (
        format!("canary-of-the-steward-{}", hex::encode(&random()[..12])),
        format!("canary-of-the-owner-{}", hex::encode(&random()[..12])),
    );
    let (owner_key, agent_key) = (random(), random());
    fs::write(outer.join("credentials/marque-unlock"), &unlock).unwrap();
    fs::write(outer.join("credentials/marque-owner"), &owner).unwrap();
    let mut life = Life { dir: dir.clone(), turn: 0 };

    // The owner's key comes on a descriptor, all passphrases as credentials.
    let mut import = life.command(&["owner", "import", "--key-fd", "0"]);
    let mut child = import.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(hex::encode(owner_key).as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    life.ok(&["new", "scout"]);
    let keys = KeyDir::open(dir.join("home/keys")).unwrap();
    let secret = SecretString::from(unlock.clone());
    fs::remove_file(dir.join("home/keys/scout.json")).unwrap();
    keys.import("scout", &SecretString::from(hex::encode(agent_key)), &secret).unwrap();
    let log_key = *keys.log_key(&secret).unwrap();
    let canaries = Canaries::new(&[
        ("unlock secret", unlock.as_bytes()),
        ("owner's passphrase", owner.as_bytes()),
        ("owner's key", &owner_key),
        ("agent's key", &agent_key),
        ("log key", &log_key),
    ]);

    // Adopt, pay, hold, approve, pay.
    life.ok(&["policy", "adopt", "scout"]);
    life.ok(&["fund", "scout", "5 tUSD", "--faucet"]);
    life.ok(&["fund", "scout", "0.1 ETH", "--faucet"]);
    let goal = "Fetch https://feed.example/wind.csv and report the value.";
    assert!(life.ok(&["run", "scout", goal, "--task", "one"]).contains("0.02 tUSD"));
    life.amend(|text| {
        let text = text.replacen("version = 1 ", "version = 2 ", 1);
        // The draft's own tests say what it says before the change.
        let text = text.split_once("\n[[test]]").map_or(text.as_str(), |(before, _)| before);
        format!("{text}\n[income]\nassets = [\"tUSD\"]\n")
    });
    life.amend(|text| {
        let at = text.find("ask_above ").unwrap();
        let (before, rest) = text.split_at(at);
        let (_, after) = rest.split_once('\n').unwrap();
        format!("{before}ask_above = \"0.001\"\n{after}")
    });
    life.ok(&["policy", "adopt", "scout"]);
    let settings = dir.join("home/agents/scout/agent.toml");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, format!("{text}\n[options]\nwait = 0\n")).unwrap();
    let goods = dir.join("goods.csv");
    fs::write(&goods, "a,b\n1,2\n").unwrap();
    let goods = goods.to_str().unwrap();
    let mut steward = life.command(&[
        "steward",
        "run",
        "--read",
        goods,
        "--",
        "mind",
        "sell-file",
        "--agent",
        "scout",
        "--listen",
        listen,
        "--file",
        goods,
        "--price",
        "0.01 tUSD",
    ]);
    let mut steward = steward.spawn().unwrap();
    wait_for(&life.socket(), &mut steward);
    let (code, _) = life.run(&["run", "scout", goal, "--task", "two"]);
    assert_eq!(code, 4, "held for the owner");
    let held: serde_json::Value = serde_json::from_str(&life.ok(&["--json", "approvals"])).unwrap();
    let id = held.pointer("/0/id").unwrap().as_str().unwrap().to_owned();
    life.ok(&["approve", &id, "--yes"]);
    life.ok(&["run", "scout", goal, "--task", "two"]);
    life.run(&["approve", &id, "--yes"]);
    life.ok(&["freeze", "--reason", "a look around"]);
    life.ok(&["thaw"]);

    // What is alive: the steward, its mind, the mind's doorman.
    let minds = children(steward.id());
    let doormen: Vec<u32> = minds.iter().flat_map(|mind| children(*mind)).collect();
    assert_eq!((minds.len(), doormen.len()), (1, 1));
    for pid in [steward.id(), minds[0], doormen[0]] {
        for file in ["environ", "cmdline"] {
            let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap();
            assert_eq!(canaries.find(&bytes), [""; 0], "/proc/{pid}/{file}");
        }
    }
    let mut memories = "not looked at: only root can".to_owned();
    if rustix::process::geteuid().is_root() {
        let (inside, _) = canaries.find_in_memory(steward.id());
        assert!(inside.contains_key("agent's key (raw)"), "the control: it signs with it");
        let owners = inside.keys().filter(|name| name.starts_with("owner"));
        assert_eq!(owners.count(), 0, "{inside:?}");
        let mut looked = 0;
        for pid in minds.iter().chain(&doormen) {
            let (found, read) = canaries.find_in_memory(*pid);
            assert_eq!(found, BTreeMap::new(), "the memory of a mind, or of its doorman");
            looked += read;
        }
        memories = format!("{} MiB looked at; the steward's holds {inside:?}", looked >> 20);
    }

    // A crash that would leave a core, and what looks at the remains.
    let pid = rustix::process::Pid::from_child(&steward);
    rustix::process::kill_process(pid, rustix::process::Signal::ABORT).unwrap();
    steward.wait().unwrap();
    life.ok(&["audit", "verify"]);
    life.ok(&["audit", "show"]);
    let exported = life.ok(&["--json", "audit", "show"]);
    fs::write(dir.join("exported.jsonl"), exported).unwrap();
    let typed = by_hand(&mut life, (&unlock, &owner), &canaries);
    // Commands that fail have the most to say.
    fs::write(outer.join("credentials/marque-unlock"), format!("{unlock}x")).unwrap();
    assert_ne!(life.run(&["steward", "run"]).0, 0);
    fs::write(outer.join("credentials/marque-owner"), format!("{owner}x")).unwrap();
    assert_ne!(life.run(&["policy", "adopt", "scout"]).0, 0);

    let found = canaries.find_in_folder(&dir);
    assert_eq!(found, [""; 0], "a secret was left behind");
    // The control: each form, planted, is found.
    for (name, form) in &canaries.forms {
        let planted =
            [b"some text before ".to_vec(), form.clone(), b" and after".to_vec()].concat();
        fs::write(dir.join("home/planted"), planted).unwrap();
        let found = canaries.find_in_folder(&dir);
        assert!(found.iter().any(|found| found.starts_with(name.as_str())), "{name}: {found:?}");
    }
    let forms = canaries.forms.len();
    eprintln!("canaries: {forms} forms, 0 found; {typed} prompts answered; memory: {memories}");
}

/// The same secrets, typed at a terminal: to a steward, to an owner's command, and wrongly. Nothing
/// of them is shown. How many prompts were answered.
fn by_hand(life: &mut Life, (unlock, owner): (&str, &str), canaries: &Canaries) -> usize {
    let mut steward = Typist::sit_down(life, &["steward", "run"]);
    steward.answer("Unlock secret", unlock);
    wait_for(&life.socket(), &mut steward.child);
    for file in ["environ", "cmdline"] {
        let bytes = fs::read(format!("/proc/{}/{file}", steward.child.id())).unwrap();
        assert_eq!(canaries.find(&bytes), [""; 0], "/proc/…/{file} of the typist's command");
    }
    life.ok(&["freeze", "--reason", "by hand"]);
    let mut thaw = Typist::sit_down(life, &["thaw"]);
    thaw.answer("Passphrase of the owner", owner);
    assert!(thaw.leave(), "{}", thaw.transcript());
    life.ok(&["stop"]);
    assert!(steward.leave(), "{}", steward.transcript());
    // What is typed wrongly is as secret: it is most of the right one.
    let mut wrong = Typist::sit_down(life, &["steward", "run"]);
    wrong.answer("Unlock secret", &format!("{unlock}x"));
    assert!(!wrong.leave(), "{}", wrong.transcript());
    assert!(wrong.transcript().contains("wrong"), "{}", wrong.transcript());
    for shown in [&steward, &thaw, &wrong] {
        assert_eq!(canaries.find(shown.transcript().as_bytes()), [""; 0], "on the terminal");
    }
    // The control: what is typed at a terminal that echoes is seen.
    let terminal = nix::pty::openpty(None, None).unwrap();
    let mut master = File::from(terminal.master);
    master.write_all(format!("{unlock}\n").as_bytes()).unwrap();
    let mut echoed = vec![0; 4096];
    let read = master.read(&mut echoed).unwrap();
    assert_ne!(canaries.find(&echoed[..read]), [""; 0]);
    3
}

/// Somebody at a terminal: a command whose controlling terminal is a pseudo-terminal of ours.
struct Typist {
    child: Child,
    master: File,
    shown: Arc<Mutex<Vec<u8>>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Typist {
    fn sit_down(life: &Life, args: &[&str]) -> Self {
        let pair = nix::pty::openpty(None, None).unwrap();
        let (master, slave) = (File::from(pair.master), File::from(pair.slave));
        // A session of its own, whose controlling terminal is its standard input: where the command
        // asks for secrets is /dev/tty.
        let child = Command::new("setsid")
            .args(["--ctty", "--wait", MARQUE])
            .arg("--home")
            .arg(life.dir.join("home"))
            .arg("--owner-home")
            .arg(life.dir.join("owner"))
            .args(args)
            .env_remove("CREDENTIALS_DIRECTORY")
            .env("MARQUE_LOG", "trace")
            .env("RUST_BACKTRACE", "full")
            .current_dir(&life.dir)
            .stdin(slave.try_clone().unwrap())
            .stdout(slave.try_clone().unwrap())
            .stderr(slave)
            .spawn()
            .unwrap();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (mut from, to) = (master.try_clone().unwrap(), Arc::clone(&shown));
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It ends with an error once nobody has the other side.
            while let Ok(read @ 1..) = from.read(&mut bytes) {
                to.lock().unwrap().extend_from_slice(&bytes[..read]);
            }
        });
        Self { child, master, shown, reader: Some(reader) }
    }

    fn transcript(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    /// Waits for a question with this word in it, and for the terminal to be silent; types.
    fn answer(&mut self, word: &str, secret: &str) {
        for _ in 0..1_200 {
            let flags = nix::sys::termios::tcgetattr(&self.master).unwrap().local_flags;
            let silent = !flags.contains(nix::sys::termios::LocalFlags::ECHO);
            if silent && self.transcript().contains(word) {
                self.master.write_all(format!("{secret}\n").as_bytes()).unwrap();
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("nobody asks without an echo: {}", self.transcript());
    }

    /// Waits for the end; whether it ended well.
    fn leave(&mut self) -> bool {
        let status = self.child.wait().unwrap();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status.success()
    }
}

/// Waits until a steward listens.
fn wait_for(socket: &Path, steward: &mut Child) {
    for _ in 0..1_200 {
        if std::os::unix::net::UnixStream::connect(socket).is_ok() {
            return;
        }
        assert!(steward.try_wait().unwrap().is_none(), "the steward ended");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("no steward came up");
}
