//! Minds that run as other users. Needs to be root, which alone can start programs as others.

#![cfg(test)]

mod support;

use alloy_primitives::B256;
use marque_steward::{Minds, Options, Steward};
use marque_steward_client::Client;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::Path,
    process::Command,
};
use support::{homes, policy};

const MIND: u32 = 64_001;
const NEIGHBOUR: u32 = 64_002;

/// What a user is told who connects to `socket` and asks for the view.
fn ask(user: u32, socket: &Path) -> String {
    let script = r#"
        my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or do { print "no way: $!"; exit };
        my $q = q({"v":1,"seq":1,"ask":{"ask":"view"}});
        local $SIG{PIPE} = 'IGNORE';
        print $s pack("N", length $q) . $q; $s->flush;
        (read($s, my $n, 4) || 0) == 4 or do { print "closed"; exit };
        read($s, my $a, unpack("N", $n)); print $a;
    "#;
    let output = Command::new("perl")
        .args(["-MIO::Socket::UNIX", "-e", script])
        .arg(socket)
        .uid(user)
        .gid(user)
        .current_dir("/")
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_the_owner_named_speaks_for_one_agent_and_nobody_else_does() {
    if !rustix::process::geteuid().is_root() {
        println!("not tried: only root can start programs as other users");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let sockets = dir.path().join("run");
    fs::create_dir(&sockets).unwrap();
    for folder in [dir.path(), &sockets] {
        fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    }
    let home = homes::home(&dir.path().join("home"), "scout", B256::ZERO, |_| policy(1)).0;
    let users = BTreeMap::from([("scout".to_owned(), BTreeSet::from([MIND]))]);
    let minds = Minds { sockets: sockets.clone(), users };
    let options = Options { minds, rate: 20, ..Options::default() };
    let steward = Steward::start(home.clone(), homes::unlock(), options).await.unwrap();

    let theirs = sockets.join("scout.sock");
    let (one, two) = (theirs.clone(), theirs.clone());
    let heard = tokio::task::spawn_blocking(move || ask(MIND, &one)).await.unwrap();
    assert!(heard.contains(r#""agent":"scout""#), "{heard}");
    let heard = tokio::task::spawn_blocking(move || ask(NEIGHBOUR, &two)).await.unwrap();
    assert!(heard == "closed" || heard.is_empty(), "{heard}");
    // The home stays shut, to the mind's user as well.
    let own = home.socket("scout");
    let heard = tokio::task::spawn_blocking(move || ask(MIND, &own)).await.unwrap();
    assert!(heard.starts_with("no way: Permission denied"), "{heard}");
    Client::connect(home.socket("scout")).await.unwrap().view().await.unwrap();
    Client::connect(&theirs).await.unwrap().view().await.unwrap();

    // What an agent may ask in a while is counted over its sockets together.
    let (mut cut, home_client) = (0, Client::connect(home.socket("scout")).await.unwrap());
    let other_client = Client::connect(&theirs).await.unwrap();
    for n in 0..60 {
        let client = if n % 2 == 0 { &home_client } else { &other_client };
        let proposal = support::proposal(&format!("t{n}"), 0, support::fetch());
        cut += u32::from(client.propose(proposal).await.is_err());
    }
    assert!(cut > 20, "{cut} of 60 were cut, and one bucket holds 20");
    steward.stop().await.unwrap();
    assert!(!theirs.exists());
}
