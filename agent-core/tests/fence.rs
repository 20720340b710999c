//! The fence, in a process of its own: this test program starts itself again, as the one test that
//! is named.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may fail loudly as tests may")]
#![cfg(target_os = "linux")]

use marque_agent_core::{
    fence::{Fence, fence},
    granted_files,
};
use rustix::{
    io::Errno,
    process::{
        PidfdFlags, PidfdGetfdFlags, Resource, Rlimit, getpid, getppid, pidfd_getfd, pidfd_open,
        prlimit, test_kill_process,
    },
};
use std::{
    env, fs, io,
    os::unix::net::{UnixDatagram, UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Command, Output},
};

const FOLDER: &str = "MARQUE_FENCE_TEST_FOLDER";

/// Runs the ignored test `name` of this program with `folder`.
fn start(name: &str, folder: &Path) -> Output {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .output()
        .unwrap()
}

fn is_denied<T>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

#[test]
fn a_fenced_mind_reads_and_writes_what_is_listed_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["mind", "keys"] {
        fs::create_dir(dir.path().join(folder)).unwrap();
    }
    for file in ["model.gguf", "keys/scout", "policy.toml"] {
        fs::write(dir.path().join(file), "content").unwrap();
    }
    let output = start("inside_the_fence", dir.path());
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.contains("1 passed"), "{out}\n{err}");
}

#[test]
fn a_fenced_mind_reaches_the_network_and_no_other_process() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("mind")).unwrap();
    let bus = UnixListener::bind(dir.path().join("bus")).unwrap();
    let output = start("inside_without_sockets", dir.path());
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.contains("1 passed"), "{out}\n{err}");
    bus.set_nonblocking(true).unwrap();
    assert!(bus.accept().is_ok(), "before its fence it could connect");
    assert_eq!(bus.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "and never after");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn inside_without_sockets() {
    let Some(home) = env::var_os(FOLDER).map(PathBuf::from) else { return };
    let (bus, mind) = (home.join("bus"), home.join("mind"));
    UnixStream::connect(&bus).unwrap();
    drop(UnixDatagram::pair().unwrap());
    let walls = fence(&Fence { write: vec![mind.clone()], ..Fence::default() });
    println!("{walls}");

    assert!(is_denied(UnixStream::connect(&bus)));
    assert!(is_denied(UnixListener::bind(mind.join("socket"))));
    assert!(is_denied(UnixDatagram::unbound()));
    assert!(is_denied(UnixDatagram::pair()));
    assert!(is_denied(std::os::unix::fs::symlink("/etc/passwd", mind.join("link"))));
    assert!(is_denied(Command::new("/bin/true").spawn().map(drop)));
    let unlimited = Rlimit { current: Some(0), maximum: Some(0) };
    assert_eq!(prlimit(getppid(), Resource::Nofile, unlimited).map(drop), Err(Errno::PERM));
    // What a runtime needs is there: threads, a pair of its own, and the network.
    std::thread::spawn(|| {}).join().unwrap();
    drop(UnixStream::pair().unwrap());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    drop(std::net::ToSocketAddrs::to_socket_addrs("localhost:80").unwrap());
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn inside_the_fence() {
    let Some(home) = env::var_os(FOLDER).map(PathBuf::from) else { return };
    assert_eq!(take_own_descriptor(), Ok(()), "the fence is what denies it below");
    let walls = fence(&Fence {
        read: vec![home.join("model.gguf")],
        write: vec![home.join("mind")],
        doorman: false,
    });
    println!("{walls}");
    // The harness waits in a thread of its own, which is therefore outside, and noticed.
    assert_eq!(walls.missing, ["threads that were started before: 1"]);

    assert_eq!(fs::read_to_string(home.join("model.gguf")).unwrap(), "content");
    fs::write(home.join("mind/new"), "x").unwrap();
    fs::rename(home.join("mind/new"), home.join("mind/old")).unwrap();
    fs::create_dir(home.join("mind/folder")).unwrap();
    assert_eq!(fs::read_to_string(home.join("mind/old")).unwrap(), "x");
    fs::write("/dev/null", "x").unwrap();
    assert!(!fs::read_to_string("/proc/self/status").unwrap().is_empty());
    assert!(fs::read_dir("/usr/lib").unwrap().count() > 0);
    std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    std::thread::spawn(|| {}).join().unwrap();

    assert!(is_denied(fs::read(home.join("keys/scout"))));
    assert!(is_denied(fs::read(home.join("policy.toml"))));
    assert!(is_denied(fs::read_dir(&home)));
    assert!(is_denied(fs::write(home.join("model.gguf"), "x")));
    assert!(is_denied(fs::write(home.join("keys/new"), "x")));
    assert!(is_denied(fs::rename(home.join("mind/old"), home.join("keys/old"))));
    assert!(is_denied(fs::read("/etc/shadow")));
    assert!(is_denied(fs::read("/proc/1/status")));
    assert!(is_denied(Command::new("/bin/true").status()));
    let parent = getppid().unwrap();
    assert_eq!(test_kill_process(parent), Err(Errno::PERM));
    assert_eq!(take_own_descriptor(), Err(Errno::PERM));
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    assert!(status.contains("Seccomp:\t2") && status.contains("NoNewPrivs:\t1"), "{status}");
}

/// What a debugger would do to another process, done to our own, which needs no privilege.
fn take_own_descriptor() -> Result<(), Errno> {
    let this = pidfd_open(getpid(), PidfdFlags::empty())?;
    pidfd_getfd(this, 0, PidfdGetfdFlags::empty()).map(drop)
}

#[test]
fn a_granted_folder_is_open_to_a_fenced_mind_and_what_lies_beside_it_is_not() {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["home/agents/scout", "home/keys", "reports", "private"] {
        fs::create_dir_all(dir.path().join(folder)).unwrap();
    }
    fs::write(dir.path().join("private/diary"), "content").unwrap();
    let settings = format!(
        "model = \"built-in\"\n[files]\nfolder = {:?}\nwrite = true\n",
        dir.path().join("reports")
    );
    fs::write(dir.path().join("home/agents/scout/agent.toml"), settings).unwrap();
    let output = start("inside_with_a_granted_folder", dir.path());
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.contains("1 passed"), "{out}\n{err}");
    assert_eq!(fs::read(dir.path().join("reports/2026/wind.txt")).unwrap(), b"14 knots");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn inside_with_a_granted_folder() {
    let Some(dir) = env::var_os(FOLDER).map(PathBuf::from) else { return };
    let home = dir.join("home");
    let granted = granted_files(&home.join("agents/scout")).unwrap().unwrap();
    let walls = fence(&Fence::of_agent(&home, "scout").unwrap());
    println!("{walls}");

    granted.write("2026/wind.txt", b"nine").unwrap();
    granted.write("2026/wind.txt", b"14 knots").unwrap();
    assert_eq!(granted.read("2026/wind.txt").unwrap(), b"14 knots");
    assert!(is_denied(fs::read(dir.join("private/diary"))));
    assert!(is_denied(fs::read_dir(home.join("keys"))));
    assert!(is_denied(fs::write(dir.join("private/new"), "x")));
}
