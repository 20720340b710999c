//! The steward as a service: the unit that is written, and its command run as systemd would.
//!
//! There is no systemd at work where these tests run: `systemd-analyze` checks the unit where it is
//! installed, and the test plays the manager, with a credentials folder and a notify socket.

use crate::{
    command::{Steward, failure, marque, ok},
    support::{MARQUE, Town},
};
use alloy_primitives::U256;
use marque_policies::{AssetId, Intent, Money, intent::Sweep};
use marque_steward_client::{Client, Outcome, Proposal};
use secrecy::ExposeSecret as _;
use std::{
    collections::BTreeSet,
    os::unix::net::UnixDatagram,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

fn unit(dir: &Path, home: &str, more: &[&str]) -> Output {
    let args = [&["--home", home, "steward", "install"], more].concat();
    marque(dir, &args)
}

/// What a unit says for `key`, each time.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[test]
fn a_unit_is_what_systemd_takes_and_shuts_the_steward_in() {
    let dir = tempfile::tempdir().unwrap();
    let out = unit(dir.path(), "/var/lib/marque", &["--print", "--program", "/bin/true"]);
    let text = ok(&out);
    let steps = String::from_utf8_lossy(&out.stderr).into_owned();
    for step in ["useradd --system", "systemd-creds encrypt", "--owner-address", "enable --now"] {
        assert!(steps.contains(step), "{step}: {steps}");
    }
    for (key, value) in [
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("ReadWritePaths", "/var/lib/marque"),
        ("PrivateTmp", "yes"),
        ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6"),
        ("MemoryDenyWriteExecute", "yes"),
        ("CapabilityBoundingSet", ""),
        ("LimitCORE", "0"),
        ("LimitMEMLOCK", "infinity"),
        ("User", "marque"),
        ("Type", "notify"),
    ] {
        assert_eq!(values(&text, key), [value], "{key}");
    }
    let minds = ["--print", "--program", "/bin/true", "--mind-user", "scout=marque-scout"];
    let apart = ok(&unit(dir.path(), "/var/lib/marque", &minds));
    let command = values(&apart, "ExecStart")[0];
    let run = "steward run --mind-user scout=marque-scout --mind-sockets /run/marque";
    assert!(command.ends_with(run), "{command}");
    assert_eq!(values(&apart, "RuntimeDirectory"), ["marque"]);
    // What is printed can be typed: no folder that is there changes its mode, no option is lost.
    let elsewhere = ["--print", "--program", "/bin/true", "--credential", "/etc/marque-unlock"];
    let out = unit(dir.path(), "/var/lib/marque", &elsewhere);
    let steps = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(steps.contains("test -d /etc || sudo install -d -m 0700 /etc\n"), "{steps}");
    let again = "--print --program /bin/true --credential /etc/marque-unlock | sudo tee";
    assert!(steps.contains(again), "{steps}");
    for text in [text, apart] {
        checked(&dir.path().join("marque-steward.service"), &text);
    }
}

/// What systemd says to a unit.
fn checked(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
    let Ok(checked) = Command::new("systemd-analyze").arg("verify").arg(file).output() else {
        eprintln!("skipped: there is no systemd-analyze here");
        return;
    };
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    // A word that systemd does not know is a warning to it, and a hole to us.
    assert!(checked.status.success() && !said.contains("marque-steward"), "{said}");
    let rated = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=20", "--no-pager"])
        .arg(file)
        .output()
        .unwrap();
    assert!(rated.status.success(), "{}", String::from_utf8_lossy(&rated.stdout));
}

#[test]
fn an_installation_writes_one_file_when_root_asks_and_else_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().to_str().unwrap();
    let (text, code) = failure(&unit(dir.path(), "/home/ada/.marque", &["--print"]));
    assert!(code == 2 && text.contains("/home"), "{text}");
    let (text, code) =
        failure(&unit(dir.path(), "/var/lib/marque", &["--print", "--user", "root"]));
    assert!(code == 2 && text.contains("does not run as root"), "{text}");
    let (text, code) = failure(&unit(dir.path(), "/etc", &["--print"]));
    assert!(code == 2 && text.contains("is the system's"), "{text}");
    let (text, code) =
        failure(&unit(dir.path(), "/var/lib/marque", &["--print", "--program", "/nowhere"]));
    assert!(code == 2 && text.contains("there is no program"), "{text}");
    let file = dir.path().join("marque-steward.service");
    let install = ["--to", to, "--program", "/bin/true", "--yes"];
    let out = unit(dir.path(), "/var/lib/marque", &install);
    if !rustix::process::geteuid().is_root() {
        assert!(failure(&out).0.contains("only root writes"));
        assert!(!file.exists());
        return;
    }
    ok(&out);
    let written = std::fs::read_to_string(&file).unwrap();
    let printed = ok(&unit(dir.path(), "/var/lib/marque", &["--print", "--program", "/bin/true"]));
    assert_eq!(written, printed);
    let left: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().flatten().map(|it| it.file_name()).collect();
    assert!(
        left.iter().all(|name| name == "marque-steward.service" || name == "credentials"),
        "{left:?}"
    );
}

/// The system calls that a unit's filter lets through, by systemd's own word on its groups.
fn allowed(unit: &str) -> BTreeSet<String> {
    fn expand(name: &str, calls: &mut BTreeSet<String>) {
        if !name.starts_with('@') {
            calls.insert(name.to_owned());
            return;
        }
        let list = Command::new("systemd-analyze").args(["syscall-filter", name]).output().unwrap();
        assert!(list.status.success(), "{name}");
        for line in String::from_utf8_lossy(&list.stdout).lines().skip(1) {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                expand(line, calls);
            }
        }
    }
    let mut calls = BTreeSet::new();
    for filter in values(unit, "SystemCallFilter") {
        let mut named = BTreeSet::new();
        filter.trim_start_matches('~').split(' ').for_each(|name| expand(name, &mut named));
        if filter.starts_with('~') {
            calls.retain(|call| !named.contains(call));
        } else {
            calls.extend(named);
        }
    }
    calls
}

#[tokio::test(flavor = "multi_thread")]
async fn the_units_filter_lets_through_all_that_a_steward_calls() {
    if ["strace", "systemd-analyze"]
        .iter()
        .any(|it| Command::new(it).arg("--version").output().is_err())
    {
        eprintln!("skipped: there is no strace or no systemd-analyze here");
        return;
    }
    let town = Town::new().await;
    let party = town.economy.party("scout").await.unwrap();
    town.economy.adopt(&party, &town.head(&party)).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let text = ok(&unit(dir.path(), "/var/lib/marque", &["--print", "--program", "/bin/true"]));
    let (log, home) = (dir.path().join("calls"), party.home.path().to_str().unwrap().to_owned());
    let command = values(&text, "ExecStart")[0]
        .replace("/var/lib/marque", &home)
        // This build may lie where a service does not look.
        .replacen("/bin/true", MARQUE, 1);
    let credentials = dir.path().join("given");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::write(credentials.join("marque-unlock"), party.unlock.expose_secret()).unwrap();
    let child = Command::new("strace")
        .args(["-f", "-qq", "-o"])
        .arg(&log)
        .args(command.split(' '))
        .env("CREDENTIALS_DIRECTORY", &credentials)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let mut steward = Steward(child);
    let socket = party.home.socket("scout");
    let client = marque::owner::connect(&socket, Duration::from_secs(60)).await.unwrap();
    // It journals, asks the chain, signs and sends.
    let intent = Intent::Sweep(Sweep {
        amount: Money::new(U256::from(1_000), AssetId::native(town.economy.devnet.chain_id())),
    });
    let sweep = Proposal { task: "sweep".to_owned(), step: 0, ordinal: 0, attempt: 0, intent };
    let outcome = client.propose(sweep).await.unwrap();
    assert!(matches!(outcome, Outcome::Allowed { .. }), "{outcome:?}");
    client.freeze("enough").await.unwrap();
    ok(&marque(dir.path(), &["--home", &home, "stop"]));
    tokio::task::block_in_place(|| steward.0.wait()).unwrap();
    let allowed = allowed(&text);
    assert!(allowed.contains("read") && !allowed.contains("chroot"));
    let log = std::fs::read_to_string(log).unwrap();
    // `123 read(3, ...`, `123 <... read resumed>`, `123 +++ exited`
    let called: BTreeSet<&str> = log
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1)?.split_once('(').map(|(name, _)| name))
        .collect();
    assert!(called.contains("fdatasync") || called.contains("fsync"), "{called:?}");
    // What starts the program is systemd's.
    let refused: Vec<_> =
        called.iter().filter(|call| !allowed.contains(**call) && **call != "execve").collect();
    assert!(refused.is_empty(), "{refused:?} of {called:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_units_command_runs_with_a_credential_and_says_when_it_is_ready() {
    let town = Town::new().await;
    let party = town.economy.party("scout").await.unwrap();
    town.economy.adopt(&party, &town.head(&party)).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    // The unit's own command; only home and program are this test's, which may lie in /tmp.
    let text = ok(&unit(dir.path(), "/var/lib/marque", &["--print", "--program", "/bin/true"]));
    let command = values(&text, "ExecStart")[0]
        .replace("/var/lib/marque", party.home.path().to_str().unwrap())
        .replacen("/bin/true", MARQUE, 1);
    let load = values(&text, "LoadCredentialEncrypted")[0];
    let (name, _) = load.split_once(':').unwrap();
    let credentials = dir.path().join("given");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::write(credentials.join(name), party.unlock.expose_secret()).unwrap();
    let manager = UnixDatagram::bind(dir.path().join("notify")).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let hear = || {
        let mut bytes = [0; 256];
        let length = manager.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let words: Vec<&str> = command.split(' ').collect();
    let begin = || {
        let child = Command::new(words[0])
            .args(&words[1..])
            .env_clear()
            .env("CREDENTIALS_DIRECTORY", &credentials)
            .env("NOTIFY_SOCKET", dir.path().join("notify"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        assert_eq!(hear(), "READY=1");
        Steward(child)
    };
    let end = |mut steward: Steward| {
        let process = steward.0.id().to_string();
        Command::new("kill").args(["-TERM", &process]).status().unwrap();
        assert_eq!(hear(), "STOPPING=1");
        assert!(steward.0.wait().unwrap().success());
    };
    // Who is told that it is ready may stop it at that very moment, and it ends in order.
    tokio::task::block_in_place(|| end(begin()));
    let steward = tokio::task::block_in_place(begin);
    // Ready is ready: no patience.
    let client = Client::connect(party.home.socket("scout")).await.unwrap();
    assert!(client.status().await.unwrap().ready);
    let stop = ["--home", party.home.path().to_str().unwrap(), "stop"];
    tokio::task::block_in_place(|| {
        end(steward);
        assert!(ok(&marque(dir.path(), &stop)).contains("nothing to stop"));
    });
}
