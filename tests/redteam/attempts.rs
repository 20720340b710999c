//! What a captured mind tries, a line each.
//!
//! `open` names the sentence of the threat model that admits an attempt as not defended.

use crate::{SCENE, town::Scene};
use marque_steward_client::{Client, door};
use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
    sys::{
        memfd::{MFdFlags, memfd_create},
        ptrace,
        signal::{Signal, kill},
        stat::Mode,
        uio::{RemoteIoVec, process_vm_readv},
    },
    time::{ClockId, clock_settime},
    unistd::{Pid, chroot, fexecve},
};
use rustix::process::{
    PidfdFlags, PidfdGetfdFlags, Resource, Rlimit, pidfd_getfd, pidfd_open, prlimit,
};
use serde::{Deserialize, Serialize};
use std::{
    fmt::Debug,
    fs,
    io::{IoSliceMut, Write as _},
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            fs::symlink,
            net::{SocketAddr, UnixDatagram, UnixListener, UnixStream},
        },
    },
    path::Path,
    process::Command,
};

/// One attempt and what came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Attempt {
    /// What was tried.
    pub(crate) what: String,
    /// What the kernel, the steward or the door said; nothing where it went through.
    pub(crate) stopped_by: Option<String>,
    /// The threat model's words, where it says that this is not defended.
    pub(crate) open: Option<String>,
}

fn tell(what: &str, stopped_by: Option<String>, open: Option<&str>) {
    let attempt = Attempt { what: what.to_owned(), stopped_by, open: open.map(str::to_owned) };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(&attempt).unwrap()).unwrap();
}

/// An attempt that must fail, and the wall that is meant to stop it. What fails because it was
/// clumsy, such as a file that is not there, was not stopped by a wall.
fn attempt<T, E: Debug + ToString>(what: &str, wall: &str, result: Result<T, E>) {
    let denials = ["ermission denied", "not permitted", "cross-device"];
    let is_denial = |said: &String| {
        ![LANDLOCK, SECCOMP].contains(&wall) || denials.iter().any(|words| said.contains(words))
    };
    let said = result.err().map(|error| error.to_string()).filter(is_denial);
    tell(what, said.map(|said| format!("{wall}: {said}")), None);
}

/// An attempt that the threat model admits.
fn admitted<T, E: Debug + ToString>(what: &str, open: &str, result: Result<T, E>) {
    tell(what, result.err().map(|error| error.to_string()), Some(open));
}

const LANDLOCK: &str = "Landlock";
const SECCOMP: &str = "seccomp";

/// Everything. It never fails: the lines say what happened.
pub(crate) async fn all() -> Result<(), String> {
    let scene: Scene = serde_json::from_str(&std::env::var(SCENE).unwrap()).unwrap();
    let steward = std::os::unix::process::parent_id();
    files(&scene);
    own_folder(&scene);
    other_processes(steward, "the steward");
    other_processes(doorman().expect("a doorman"), "the doorman");
    other_processes(scene.bystander, "another process of the user");
    kernel();
    programs(&scene);
    inherited();
    sockets(&scene).await;
    another_steward(&scene).await;
    grants(&scene);
    admissions();
    flood(&scene).await;
    Ok(())
}

fn files(scene: &Scene) {
    let home = &scene.home;
    let read = |what: &str, path: &Path| {
        let listed = fs::read_dir(path).map(drop).or_else(|_| fs::read(path).map(drop));
        attempt(&format!("read {what}"), LANDLOCK, listed);
    };
    read("the keys", &home.join("keys"));
    read("a keystore", &home.join("keys/scout.json"));
    read("the journal", &home.join("journal/entries/00000000000000000000.seg"));
    read("the outbox", &home.join("outbox"));
    read("the index", &home.join("index"));
    read("the home's charter", &home.join("home.json"));
    read("its policy draft", &home.join("agents/scout/policy.toml"));
    read("another agent's memory", &home.join("agents").join(&scene.sibling).join("mind"));
    read("the steward's credentials", &scene.credentials.join("marque-unlock"));
    read("a file of the same user", &scene.diary);
    read("/etc/shadow", Path::new("/etc/shadow"));
    let write = |what: &str, path: &Path| {
        let opened = fs::File::options().append(true).create(true).open(path);
        attempt(&format!("write {what}"), LANDLOCK, opened);
    };
    write("into the journal", &home.join("journal/entries/00000000000000000000.seg"));
    write("a policy draft that names an RPC of its own", &home.join("agents/scout/policy.toml"));
    write("the owner's shared limits", &home.join("owner.toml"));
    write("its own settings", &home.join("agents/scout/agent.toml"));
    write("a key of its own", &home.join("keys/thief.json"));
    write("a start-up file of the user", &Path::new("/root").join(".profile"));
    attempt(
        "put an older journal in the place of this one",
        LANDLOCK,
        fs::rename(home.join("journal"), home.join("journal.new")),
    );
    attempt("take the lock of the home away", LANDLOCK, fs::remove_file(home.join("lock")));
    attempt(
        "put a socket of its own in the place of the steward's",
        LANDLOCK,
        fs::remove_file(home.join("agents/scout/steward.sock")),
    );
}

fn own_folder(scene: &Scene) {
    let mind = scene.home.join("agents/scout/mind");
    fs::write(mind.join("mine"), "x").expect("its own folder is its own");
    attempt(
        "plant a symbolic link in its folder",
        LANDLOCK,
        symlink("/etc/passwd", mind.join("s")),
    );
    attempt(
        "link a keystore into its folder",
        LANDLOCK,
        fs::hard_link(scene.home.join("keys/scout.json"), mind.join("hard")),
    );
    attempt(
        "move its folder's file over the journal",
        LANDLOCK,
        fs::rename(mind.join("mine"), scene.home.join("journal/checkpoint")),
    );
    attempt("climb out by ..", LANDLOCK, fs::read(mind.join("../../../keys/scout.json")));
    attempt("listen in its folder", SECCOMP, UnixListener::bind(mind.join("socket")));
}

fn other_processes(pid: u32, who: &str) {
    let proc = |file: &str| Path::new("/proc").join(pid.to_string()).join(file);
    for file in ["mem", "environ", "maps", "cmdline"] {
        attempt(&format!("read /proc/PID/{file} of {who}"), LANDLOCK, fs::File::open(proc(file)));
    }
    attempt(&format!("list the descriptors of {who}"), LANDLOCK, fs::read_dir(proc("fd")));
    let pid = Pid::from_raw(i32::try_from(pid).unwrap());
    attempt(&format!("debug {who}"), SECCOMP, ptrace::attach(pid));
    let (mut bytes, remote) = ([0; 16], [RemoteIoVec { base: 0x1000, len: 16 }]);
    let read = process_vm_readv(pid, &mut [IoSliceMut::new(&mut bytes)], &remote);
    attempt(&format!("read the memory of {who}"), SECCOMP, read);
    let theirs = rustix::process::Pid::from_raw(pid.as_raw()).unwrap();
    let taken = pidfd_open(theirs, PidfdFlags::empty())
        .and_then(|held| pidfd_getfd(held, 0, PidfdGetfdFlags::empty()));
    attempt(&format!("take a descriptor of {who}"), SECCOMP, taken);
    for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
        attempt(&format!("send {signal} to {who}"), LANDLOCK, kill(pid, signal));
    }
    let nothing = Rlimit { current: Some(0), maximum: Some(0) };
    let limited = prlimit(Some(theirs), Resource::Nofile, nothing);
    attempt(&format!("take files away from {who}"), SECCOMP, limited);
}

/// The mind's child that connects it, found as an attacker would: by trying the next numbers.
fn doorman() -> Option<u32> {
    let own = std::process::id();
    let is_process = |pid: &u32| {
        let pid = rustix::process::Pid::from_raw(i32::try_from(*pid).unwrap()).unwrap();
        // A thread has a number as well, and is no process.
        pidfd_open(pid, PidfdFlags::empty()).is_ok()
    };
    (own + 1..own + 200).find(is_process)
}

fn kernel() {
    attempt("enter namespaces of its own", SECCOMP, unshare(CloneFlags::CLONE_NEWUSER));
    let own = fs::File::open("/proc/self/ns/net").map_err(|error| error.to_string());
    let entered =
        own.and_then(|own| setns(own, CloneFlags::CLONE_NEWNET).map_err(|error| error.to_string()));
    attempt("enter the steward's namespaces", SECCOMP, entered);
    let none: Option<&str> = None;
    let flags = MsFlags::MS_BIND;
    attempt("mount something over the home", SECCOMP, mount(none, "/tmp", none, flags, none));
    attempt("change its root folder", SECCOMP, chroot("/tmp"));
    let now = clock_settime(ClockId::CLOCK_REALTIME, nix::sys::time::TimeSpec::new(1, 0));
    attempt("set the clock back", SECCOMP, now);
    attempt(
        "read the kernel's memory map",
        LANDLOCK,
        open("/proc/kallsyms", OFlag::O_RDONLY, Mode::empty()),
    );
}

fn programs(scene: &Scene) {
    attempt("start a shell", SECCOMP, Command::new("/bin/sh").spawn());
    let evil = scene.home.join("agents/scout/mind/evil.so");
    let child = Command::new("/bin/true").env("LD_PRELOAD", &evil).spawn();
    attempt("start a program with a library of its own", SECCOMP, child);
    fs::copy("/usr/bin/true", scene.home.join("agents/scout/mind/tool")).unwrap();
    let own = Command::new(scene.home.join("agents/scout/mind/tool")).spawn();
    attempt("start a program that it wrote itself", SECCOMP, own);
    let memory = memfd_create("x", MFdFlags::empty()).unwrap();
    fs::write(
        format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&memory)),
        fs::read("/usr/bin/true").unwrap(),
    )
    .ok();
    let none: [&std::ffi::CStr; 0] = [];
    attempt("start a program from memory", SECCOMP, fexecve(&memory, &none, &none));
    attempt("start a steward as another process", SECCOMP, {
        Command::new(std::env::current_exe().unwrap()).args(["steward", "run"]).spawn()
    });
    // A bomb needs children; with none there is no second generation.
    attempt("fork", SECCOMP, Command::new("/proc/self/exe").spawn());
}

fn inherited() {
    let standard = ["0", "1", "2"].map(std::ffi::OsString::from);
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten().filter_map(|entry| {
        let leads = fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned();
        let made_here = ["socket:", "anon_inode:", "pipe:", "/proc/"];
        let made_here = made_here.iter().any(|kind| leads.starts_with(kind));
        (!made_here && !standard.contains(&entry.file_name())).then_some(leads)
    });
    let left: Vec<String> = open.collect();
    let none = if left.is_empty() { Err("nothing was left open".to_owned()) } else { Ok(left) };
    attempt("use a descriptor that was left open", "close-on-exec", none);
    let place = std::env::var("CREDENTIALS_DIRECTORY").map_err(|_| "not in the environment");
    attempt("find the credentials in its environment", "a clean environment", place);
    let secret = fs::read_to_string("/proc/self/fd/0").unwrap_or_default();
    let none = if secret.is_empty() { Err("empty") } else { Ok(()) };
    attempt("read the unlock secret once more from standard input", "a closed input", none);
}

async fn sockets(scene: &Scene) {
    attempt("connect to a session bus", SECCOMP, UnixStream::connect(&scene.bus));
    let name = SocketAddr::from_abstract_name(&scene.abstract_bus).unwrap();
    attempt("connect to an abstract socket", SECCOMP, UnixStream::connect_addr(&name));
    attempt("connect to another owner's steward", SECCOMP, UnixStream::connect(&scene.rival));
    attempt("send datagrams to the system's log", SECCOMP, UnixDatagram::unbound());
    attempt("send datagrams from a pair", SECCOMP, UnixDatagram::pair());
    let sibling = scene.home.join("agents").join(&scene.sibling).join("steward.sock");
    attempt("speak for another agent of its owner", SECCOMP, UnixStream::connect(&sibling));
    attempt("speak for another agent through its door", "the door", door::raw(&sibling).await);
    attempt("reach another steward through its door", "the door", door::raw(&scene.rival).await);
    let owners = scene.home.join("agents/scout/owner.sock");
    attempt("come in by its owner's entrance", SECCOMP, UnixStream::connect(&owners));
    attempt("come in there through its door", "the door", door::raw(&owners).await);
    Client::connect(scene.home.join("agents/scout/steward.sock"))
        .await
        .expect("its own steward answers")
        .view()
        .await
        .expect("and speaks to it");
}

async fn another_steward(scene: &Scene) {
    // In development the mind's program links the steward's code as well; the walls do not care.
    let guess = secrecy::SecretString::from("a guess");
    let opened = marque_steward::Home::open(&scene.home);
    attempt("open the home as a steward of its own", LANDLOCK, opened);
    let copied =
        fs::copy(scene.home.join("home.json"), scene.home.join("agents/scout/mind/home.json"));
    attempt("copy the home to run it elsewhere", LANDLOCK, copied);
    let made = marque_steward::Home::create(scene.home.join("agents/scout/mind/home"), 31_337);
    let started = match made {
        Ok(home) => marque_steward::Steward::start(home, guess, Default::default())
            .await
            .map(drop)
            .map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    attempt("run a steward of its own under the agent's name", "no key, no genesis", started);
}

/// What is granted goes through both fences, the steward's and the mind's own; what is beside it does
/// not, and no link makes it.
fn grants(scene: &Scene) {
    let granted = &scene.granted;
    let written = fs::create_dir(granted.join("new"))
        .and_then(|()| fs::write(granted.join("new/file"), "x"))
        .and_then(|()| fs::read(granted.join("new/file")));
    admitted("write and read in the granted folder", "What the owner grants", written);
    let beside = granted.parent().map(|folder| folder.join("planted"));
    attempt("write beside the granted folder", LANDLOCK, fs::write(beside.unwrap(), "x"));
    let link = symlink(scene.home.join("keys"), granted.join("keys"));
    attempt("leave a link to the keys in the granted folder", LANDLOCK, link);
    let run = Command::new(granted.join("new/file")).spawn().map(drop);
    attempt("run what it wrote there", SECCOMP, run);
}

fn admissions() {
    let local = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    admitted(
        "connect to a TCP port of this host",
        "local TCP and UDP ports",
        std::net::TcpStream::connect(local.local_addr().unwrap()),
    );
    admitted("send what it knows to the internet", "what a mind knows can leave", {
        std::net::UdpSocket::bind("127.0.0.1:0")
    });
    admitted("use up memory and processors", "memory and processor time", Ok::<_, String>(()));
    admitted("fill the disk in its own folder", "the disk under its own folder", {
        Ok::<_, Errno>(())
    });
}

/// Holds every connection that it can get, and asks on all of them.
async fn flood(scene: &Scene) {
    let socket = scene.home.join("agents/scout/steward.sock");
    let mut held = Vec::new();
    for _ in 0..200 {
        if let Ok(stream) = door::raw(&socket).await {
            drop(stream.try_write(&[0, 0, 0, 9, b'n', b'o', b'n', b's']));
            held.push(stream);
        }
    }
    let what = "flood the steward's socket";
    tell(
        what,
        Some(format!("32 places, and the owner has others ({} were opened)", held.len())),
        None,
    );
    // The owner comes in now; the flood stays a little longer.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
}
