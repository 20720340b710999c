//! The command line as a stranger meets it: first steps, exit codes, one clear line for bad input.

use crate::support::{MARQUE, Town};
use std::{
    io::{BufRead as _, Write as _},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

/// Runs `marque` with a home in `dir`; passphrases come through a systemd-style credential folder.
pub(crate) fn marque(dir: &Path, args: &[&str]) -> Output {
    start(dir, args).wait_with_output().unwrap()
}

/// The same, not waited for.
pub(crate) fn start(dir: &Path, args: &[&str]) -> Child {
    start_with(dir, args, &[])
}

/// The same with more in its environment.
pub(crate) fn start_with(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Child {
    let credentials = dir.join("credentials");
    std::fs::create_dir_all(&credentials).unwrap();
    for name in ["marque-unlock", "marque-owner"] {
        std::fs::write(credentials.join(name), "correct horse battery staple").unwrap();
    }
    let mut command = Command::new(MARQUE);
    for (flag, folder) in [("--home", "home"), ("--owner-home", "owner")] {
        if !args.contains(&flag) {
            command.arg(flag).arg(dir.join(folder));
        }
    }
    command
        .args(args)
        .env("CREDENTIALS_DIRECTORY", credentials)
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

pub(crate) fn ok(out: &Output) -> String {
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// The failure's line and exit code; there is one line of error and at most one of help.
pub(crate) fn failure(out: &Output) -> (String, i32) {
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    let errors = text.lines().filter(|line| line.starts_with("error: ")).count();
    assert_eq!(errors, 1, "{text}");
    assert!(!text.contains("panicked"), "{text}");
    (text, out.status.code().unwrap())
}

#[test]
fn a_machine_is_told_its_class_and_its_speed() {
    let dir = tempfile::tempdir().unwrap();
    let out = ok(&marque(dir.path(), &["models", "selftest", "--json"]));
    let found: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(found["passes"], true, "{found}");
    assert_eq!(found["formats"].as_array().map(Vec::len), Some(4));
    let out = ok(&marque(dir.path(), &["models", "bench", "--json"]));
    let found: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(found["prefill_tokens_per_second"].as_f64().unwrap() > 0.0, "{found}");
    let page = dir.path().join("page.gguf");
    std::fs::write(&page, "<!doctype html>").unwrap();
    let (text, code) = failure(&marque(dir.path(), &["models", "bench", page.to_str().unwrap()]));
    assert!(text.contains("is not a GGUF model") && code == 2, "{code}: {text}");
}

#[test]
fn a_broken_policy_file_gives_one_line_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("policy.toml");
    std::fs::write(&file, "format = 1\nversion = 1\nowner = \"0x12\"\n").unwrap();
    let out = marque(dir.path(), &["policy", "check", file.to_str().unwrap()]);
    let (text, code) = failure(&out);
    assert!(text.contains("policy.toml:3:"), "{text}");
    assert_eq!(code, 1);
    std::fs::write(&file, "format = 1\nversoin = 1\n").unwrap();
    let (text, _) = failure(&marque(dir.path(), &["policy", "check", file.to_str().unwrap()]));
    assert!(text.contains("versoin"), "{text}");
}

#[test]
fn an_unknown_model_file_gives_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("model.gguf");
    let (text, code) = failure(&marque(dir.path(), &["demo", "--model", file.to_str().unwrap()]));
    assert!(text.contains("model.gguf"), "{text}");
    assert_eq!(code, 2);
    std::fs::File::create(&file).unwrap().write_all(b"not a model at all").unwrap();
    let (text, _) = failure(&marque(dir.path(), &["demo", "--model", file.to_str().unwrap()]));
    assert!(text.contains("GGUF"), "{text}");
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(marque(dir.path(), &["frobnicate"]).status.code(), Some(2));
    let out = marque(dir.path(), &["--json", "account", "revoke"]);
    let said: serde_json::Value = serde_json::from_slice(&out.stderr).unwrap();
    assert_eq!((out.status.code(), &said["code"]), (Some(2), &serde_json::json!(2)), "{said}");
    assert!(said["help"].as_str().is_some_and(|help| help.contains("marque account")), "{said}");
    let (text, code) = failure(&marque(dir.path(), &["new", "Not A Name"]));
    assert_eq!(code, 2);
    assert!(text.contains("lower-case"), "{text}");
    let (text, code) = failure(&marque(dir.path(), &["new", "scout"]));
    assert_eq!(code, 1);
    assert!(text.contains("marque owner init"), "{text}");
    // A folder that holds a project is told before an agent is made for it.
    std::fs::write(dir.path().join("Cargo.toml"), "").unwrap();
    let owner = "0x00000000000000000000000000000000000000aa";
    let project = ["--owner-address", owner, "--rust", dir.path().to_str().unwrap()];
    let (text, code) =
        failure(&marque(dir.path(), &[["new", "scout"].as_slice(), &project].concat()));
    assert!(code == 2 && text.contains("holds a project already"), "{text}");
    assert!(!dir.path().join("home").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_standard_output_is_a_failure_and_a_reader_who_has_gone_is_none() {
    for args in [["completions", "bash"], ["policy", "schema"]] {
        let run = |to: Stdio| Command::new(MARQUE).args(args).stdout(to).output().unwrap();
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let (text, code) = failure(&run(full.into()));
        assert!(code == 1 && text.contains("standard output: No space left"), "{text}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let gone = run(writer.into());
        assert!(gone.status.success() && gone.stderr.is_empty(), "{gone:?}");
    }
}

#[test]
fn the_owners_key_is_made_backed_up_and_never_inside_the_home() {
    let dir = tempfile::tempdir().unwrap();
    let address = ok(&marque(dir.path(), &["--json", "owner", "init"]));
    let copy = dir.path().join("copy.json");
    let copied = ok(&marque(dir.path(), &["--json", "owner", "backup", copy.to_str().unwrap()]));
    assert_eq!(address, copied);
    failure(&marque(dir.path(), &["owner", "backup", copy.to_str().unwrap()]));
    // A key that is there is kept, as an agent is.
    let (text, code) = failure(&marque(dir.path(), &["owner", "init"]));
    assert!(code == 2 && text.contains("has a key already"), "{text}");
    std::fs::create_dir_all(dir.path().join("home")).unwrap();
    let kept = dir.path().join("home/copy.json");
    let (text, code) = failure(&marque(dir.path(), &["owner", "backup", kept.to_str().unwrap()]));
    assert!(code == 2 && text.contains("inside the steward's home"), "{text}");
    assert!(!kept.exists());
    let inside = dir.path().join("home/owner");
    let out = marque(dir.path(), &["--owner-home", inside.to_str().unwrap(), "owner", "init"]);
    let (text, code) = failure(&out);
    assert_eq!(code, 2);
    assert!(text.contains("inside the steward's home"), "{text}");
}

#[test]
fn a_home_and_its_owners_folder_lie_apart_also_by_another_path() {
    let dir = tempfile::tempdir().unwrap();
    ok(&marque(dir.path(), &["owner", "init"]));
    std::fs::create_dir_all(dir.path().join("home")).unwrap();
    let inside = dir.path().join("owner/home");
    let out = marque(dir.path(), &["--home", inside.to_str().unwrap(), "new", "scout"]);
    let (text, code) = failure(&out);
    assert_eq!(code, 2);
    assert!(text.contains("inside the owner's folder"), "{text}");
    let roundabout = dir.path().join("owner/../home/keys");
    let out = marque(dir.path(), &["--owner-home", roundabout.to_str().unwrap(), "owner", "init"]);
    let (text, code) = failure(&out);
    assert_eq!(code, 2);
    assert!(text.contains("inside the steward's home"), "{text}");
}

#[test]
fn a_devnet_does_not_take_a_strangers_port_for_its_own_chain() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (chain, seller) in [(&port, &free.to_string()), (&free.to_string(), &port)] {
        let out = marque(dir.path(), &["devnet", "--port", chain, "--seller-port", seller]);
        let (text, code) = failure(&out);
        assert_eq!(code, 1);
        assert!(text.contains(&format!("port {port}")), "{text}");
    }
    assert!(!dir.path().join("home/devnet.toml").exists());
}

/// An owner looks at what an adoption would change, adopts it, and finds it in the journal.
fn amends(dir: &Path) {
    let draft = dir.join("home/agents/scout/policy.toml");
    let first = std::fs::read_to_string(&draft).unwrap();
    let changed = first.replacen("version = 1 ", "version = 2 ", 1).replacen("200.00", "201.00", 1);
    assert_ne!(first, changed);
    std::fs::write(&draft, &changed).unwrap();
    let wider = ok(&marque(dir, &["policy", "diff", "scout"]));
    assert!(wider.contains("WIDER") && wider.contains("limits.tUSD.total"), "{wider}");
    for act in [
        ["policy", "diff", "scout", "--never-wider"],
        ["policy", "adopt", "scout", "--never-wider"],
    ] {
        assert_eq!(failure(&marque(dir, &act)).1, 3);
    }
    // A home's shared document and an agent's forbids are part of the draft.
    let (ground, rest) = changed.split_at(changed.find("# How much of it").unwrap());
    let ground = ground.replacen("version = 2 ", "# ", 1);
    std::fs::write(dir.join("home/owner.toml"), &ground).unwrap();
    std::fs::write(&draft, format!("format = 1\nversion = 2\n{rest}")).unwrap();
    let cedar = "@id(\"no-memory\")\nforbid(principal, action == Action::\"pay\", resource)\n\
                 when { context.labels.contains(\"memory\") };\n";
    std::fs::write(dir.join("home/agents/scout/policy.cedar"), cedar).unwrap();
    let adopted = ok(&marque(dir, &["policy", "adopt", "scout"]));
    assert!(adopted.contains("WIDER") && adopted.contains("version 2 is in force"), "{adopted}");
    let told = ok(&marque(dir, &["audit", "show"]));
    assert!(told.contains("of owner.toml, policy.toml and policy.cedar"), "{told}");
    let shown = ok(&marque(dir, &["--json", "policy", "show", "scout@adopted"]));
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((shown["owner"].as_str(), shown["cedar"].as_str()), (Some(&*ground), Some(cedar)));
    let same = ok(&marque(dir, &["--json", "policy", "diff", "scout"]));
    let same: serde_json::Value = serde_json::from_str(&same).unwrap();
    assert_eq!(
        (same["wider"].as_bool(), same["changes"].as_array().unwrap().len()),
        (Some(false), 0)
    );
}

/// A withdrawal that the chain would not take is not begun; one that it would take is.
fn withdraws(dir: &Path) {
    let sweep = ["withdraw", "scout", "1 tUSD"];
    let (text, _) = failure(&marque(dir, &sweep));
    assert!(text.contains("marque steward run"), "{text}");
    let _steward = Steward(start(dir, &["steward", "run"]));
    let socket = dir.join("home/agents/scout/steward.sock");
    let up = || std::os::unix::net::UnixStream::connect(&socket).is_ok();
    assert!((0..1_200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        up()
    }));
    let (text, _) = failure(&marque(dir, &sweep));
    assert!(text.contains("the chain's fee"), "{text}");
    let (text, _) = failure(&marque(dir, &["withdraw", "scout", "9 tUSD"]));
    assert!(text.contains("4.98 tUSD"), "{text}");
    ok(&marque(dir, &["fund", "scout", "0.01 ETH", "--faucet"]));
    ok(&marque(dir, &sweep));
    // One withdrawal, not the refused ones as well.
    assert!(ok(&marque(dir, &["balance", "scout"])).contains("3.98 tUSD"));
    assert!(ok(&marque(dir, &["approvals"])).contains("nothing is waiting"));
    let (text, _) = failure(&marque(dir, &["identity", "register", "scout"]));
    assert!(text.contains("--faucet --owner"), "{text}");
    ok(&marque(dir, &["fund", "scout", "0.1 ETH", "--faucet", "--owner"]));
    assert!(ok(&marque(dir, &["identity", "register", "scout"])).contains("scout is identity"));
}

/// A steward that ends with the test.
pub(crate) struct Steward(pub(crate) Child);

impl Steward {
    /// Stops it as a supervisor does; all that it said.
    pub(crate) fn stopped(mut self) -> String {
        let pid = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw).unwrap();
        if self.0.try_wait().unwrap().is_none() {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
            self.0.wait().unwrap();
        }
        let mut said = String::new();
        for mut stream in [
            Box::new(self.0.stdout.take().unwrap()) as Box<dyn std::io::Read>,
            Box::new(self.0.stderr.take().unwrap()),
        ] {
            stream.read_to_string(&mut said).unwrap();
        }
        said
    }
}

impl Drop for Steward {
    fn drop(&mut self) {
        drop(self.0.kill());
        self.0.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_gets_from_nothing_to_a_purchase_with_the_command_line() {
    let town = Town::new().await;
    let feed = town.seller("feed", "0.02 tUSD").await;
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let home = dir.join("home");
    std::fs::create_dir_all(&home).unwrap();
    // What `marque devnet` leaves for others to find.
    std::fs::write(
        home.join("devnet.toml"),
        format!(
            "chain = {}\nrpc = \"{}\"\ndollar = \"{}\"\nregistry = \"{}\"\n\n[seller]\nname = \"feed\"\nagent_id = {}\nowner = \"{}\"\nwallet = \"{}\"\nhost = \"{}\"\nsells = \"{}\"\n",
            town.economy.devnet.chain_id(),
            town.economy.devnet.url(),
            town.economy.dollar,
            town.economy.registry,
            feed.id,
            feed.party.owner.address(),
            feed.party.address,
            feed.host,
            feed.goods(),
        ),
    )
    .unwrap();
    let dir = dir.to_owned();
    tokio::task::spawn_blocking(move || {
        ok(&marque(&dir, &["owner", "init"]));
        ok(&marque(&dir, &["new", "scout"]));
        ok(&marque(&dir, &["policy", "check", "scout"]));
        assert!(ok(&marque(&dir, &["policy", "explain", "scout"])).contains("feed"));
        let (early, _) = failure(&marque(&dir, &["run", "scout", "Fetch something."]));
        assert!(early.contains("marque policy adopt scout"), "{early}");
        let (none, code) = failure(&marque(&dir, &["policy", "diff", "scout"]));
        assert!(code == 2 && none.contains("no policy is in force for scout yet"), "{none}");
        ok(&marque(&dir, &["policy", "adopt", "scout"]));
        ok(&marque(&dir, &["policy", "adopt", "scout"])); // the same once more changes nothing
        // A changed document must have a higher version.
        let draft = dir.join("home/agents/scout/policy.toml");
        let text = std::fs::read_to_string(&draft).unwrap();
        std::fs::write(&draft, text.replacen("200.00", "201.00", 1)).unwrap();
        let seen = ok(&marque(&dir, &["policy", "check", "scout"]));
        assert!(seen.contains("version 1 is in force"), "{seen}");
        let (stale, code) = failure(&marque(&dir, &["policy", "adopt", "scout"]));
        assert!(code == 2 && stale.contains("write version = 2 into the draft"), "{stale}");
        std::fs::write(&draft, text).unwrap();
        amends(&dir);
        ok(&marque(&dir, &["fund", "scout", "5 tUSD", "--faucet"]));
        let goal = "Fetch https://feed.example/wind.csv and report the value.";
        let answer = ok(&marque(&dir, &["run", "scout", goal]));
        assert!(answer.contains("0.02 tUSD"), "{answer}");
        assert!(ok(&marque(&dir, &["balance", "scout"])).contains("4.98 tUSD"));
        // Whatever the model makes of a refusal, it is no success; neither is it when asked again.
        let goal = "Fetch https://nowhere.example/wind.csv and report the value.";
        for _ in 0..2 {
            let args = ["run", "scout", goal, "--task", "nowhere"];
            let out = marque(&dir, &args);
            let (text, code) = failure(&out);
            assert!(code == 3 && text.contains("not to be relied on"), "{text}");
            assert!(!String::from_utf8_lossy(&out.stdout).contains('✓'), "{out:?}");
        }
        assert!(ok(&marque(&dir, &["audit", "verify"])).contains("entries"));
        assert!(ok(&marque(&dir, &["audit", "show"])).contains("feed"));
        let (text, _) = failure(&marque(&dir, &["freeze"]));
        assert!(text.contains("no steward answers"), "{text}");
        assert!(text.contains("while none runs nothing is signed"), "{text}");
        let (text, code) = failure(&marque(&dir, &["audit", "verify", "--journal", "/nothing"]));
        assert!(code == 2 && text.contains("HOME/journal"), "{text}");
        for wrong in ["5", "5 usdc", "0 tUSD", "1.1234567 tUSD", "-1 tUSD"] {
            let (text, code) = failure(&marque(&dir, &["fund", "scout", wrong, "--faucet"]));
            assert_eq!(code, 2, "{text}");
            assert!(text.contains("\"5 tUSD\""), "{text}");
        }
        let (text, code) = failure(&marque(&dir, &["balance", "nobody"]));
        assert_eq!(code, 2);
        assert!(text.contains("there are scout"), "{text}");
        let (text, _) = failure(&marque(&dir, &["identity", "show", "scout", "99"]));
        assert!(text.contains("no identity 99"), "{text}");
        withdraws(&dir);
        // Another chain is none for this home, which is told before it starts.
        let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let ports = [free(), free()].map(|address| address.port().to_string());
        let args = ["devnet", "--port", &ports[0], "--seller-port", &ports[1]];
        let mut other = start(&dir, &args);
        let said = std::io::BufReader::new(other.stdout.take().unwrap());
        let mut said = std::io::BufRead::lines(said).map(Result::unwrap);
        let first = said.next().unwrap();
        assert!(said.any(|line| line.starts_with("Ctrl-C ends the chain")), "{first}");
        let id = nix::unistd::Pid::from_raw(i32::try_from(other.id()).unwrap());
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).unwrap();
        other.wait().unwrap();
        assert!(first.contains("was begun on another chain"), "{first}");
    })
    .await
    .unwrap();
    assert_eq!(town.dollars(&feed).await, 20_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_stopped_while_the_owner_is_asked_ends_with_4_and_names_the_task() {
    let town = Town::new().await;
    let (_feed, scout) = town.careful().await;
    let home = scout.party.home.path().to_owned();
    tokio::task::spawn_blocking(move || {
        let goal = "Fetch https://feed.example/wind.csv and report the value.";
        let mut run = Command::new(MARQUE)
            .args(["run", "scout", goal, "--task", "wind", "--home"])
            .arg(home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let told = std::io::BufReader::new(run.stdout.take().unwrap());
        let mut lines = told.lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains("held for the owner")));
        let pid = rustix::process::Pid::from_child(&run);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let (text, code) = failure(&run.wait_with_output().unwrap());
        assert!(code == 4 && text.contains("task \"wind\" waits for the owner"), "{text}");
    })
    .await
    .unwrap();
}
