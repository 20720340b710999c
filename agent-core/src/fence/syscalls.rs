//! The system calls that a mind has no use for, by seccomp. They fail with `EPERM`; all others
//! pass, since a list of what a model's library may call would break with each of its versions.
//!
//! Sockets are for the network alone: a Unix socket reaches whoever listens on this host for the
//! same user (a session bus, an agent for SSH keys, another agent's steward), so none can be made.
//! A stream pair can, since it reaches nobody but its own other end; a pair of datagrams could be
//! sent anywhere. What the mind may connect to besides comes through its door.
//!
//! INVARIANT: no call that is denied here has a second way in: `io_uring`, the 32-bit and x32
//! numbers and `clone3`, whose arguments cannot be seen, are denied as well (pinned by
//! `tests/fence.rs::a_fenced_mind_reaches_the_network_and_no_other_process`).

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, sock_filter,
};
use std::collections::BTreeMap;

/// Other processes' memory, time and limits, the kernel, file systems, keys, and ways around these
/// rules.
const DENIED: [libc::c_long; 68] = [
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_ioprio_set,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_migrate_pages,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_move_pages,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    libc::SYS_msgctl,
    libc::SYS_msgget,
    libc::SYS_msgrcv,
    libc::SYS_msgsnd,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_semctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_setpriority,
    libc::SYS_settimeofday,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_shmget,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

/// Ways to start a program. The file rules deny programs as well, except one that is held in memory.
const PROGRAMS: [libc::c_long; 2] = [libc::SYS_execve, libc::SYS_execveat];

/// Calls that x86 has besides.
#[cfg(target_arch = "x86_64")]
const FORKS: [libc::c_long; 2] = [libc::SYS_fork, libc::SYS_vfork];
#[cfg(not(target_arch = "x86_64"))]
const FORKS: [libc::c_long; 0] = [];

/// Ways to type into a terminal that somebody else reads, such as the owner's shell.
const TYPES: [i32; 2] = [libc::TIOCSTI as i32, libc::TIOCLINUX as i32];

/// Kinds of a socket, without the flags that come in the same number.
const KIND: u64 = 0xf;

/// On x86 the numbers of the calls of another binary interface start here.
const OTHER_INTERFACE: u32 = 0x4000_0000;

/// A filter that denies calls by number and by argument.
struct Filter(BTreeMap<i64, Vec<SeccompRule>>);

/// One condition on an argument: which, how it compares, and with what.
type Condition = (u8, SeccompCmpOp, u64);

impl Filter {
    fn of(calls: impl IntoIterator<Item = libc::c_long>) -> Self {
        Self(calls.into_iter().map(|call| (call, Vec::new())).collect())
    }

    /// Denies `call` where all conditions hold. The kernel reads these arguments as 32 bits, and
    /// so do we: what stands in the upper half tricks nobody.
    fn deny(&mut self, call: libc::c_long, conditions: &[Condition]) -> Result<(), String> {
        let conditions = conditions.iter().map(|(argument, compare, value)| {
            SeccompCondition::new(*argument, Dword, compare.clone(), *value)
        });
        let rule = conditions.collect::<Result<_, _>>().and_then(SeccompRule::new);
        self.0.entry(call).or_default().push(rule.map_err(|error| error.to_string())?);
        Ok(())
    }

    /// Raises it on this thread and those that it starts.
    fn raise(self) -> Result<(), String> {
        let arch =
            TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
        let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
        let filter = SeccompFilter::new(self.0, SeccompAction::Allow, denied, arch)
            .map_err(|error| error.to_string())?;
        let program: BpfProgram =
            filter.try_into().map_err(|error: seccompiler::BackendError| error.to_string())?;
        seccompiler::apply_filter(&program).map_err(|error| error.to_string())
    }
}

/// Denies what a mind has no use for. With `doorman`, Unix sockets are left: they are its work.
pub(super) fn restrict(doorman: bool) -> Result<(), String> {
    calls()?.raise()?;
    if !doorman {
        sockets()?.raise()?;
    }
    unseen()?;
    programs()?.raise()
}

fn calls() -> Result<Filter, String> {
    let mut filter = Filter::of(DENIED);
    for request in TYPES {
        filter.deny(libc::SYS_ioctl, &[(1, SeccompCmpOp::Eq, number(request))])?;
    }
    // Limits of other processes: a steward without memory or files signs nothing.
    filter.deny(libc::SYS_prlimit64, &[(0, SeccompCmpOp::Ne, 0)])?;
    Ok(filter)
}

/// The network, and what asks the kernel for routes on the way to it; nothing else.
fn sockets() -> Result<Filter, String> {
    let (v4, v6, netlink) =
        (number(libc::AF_INET), number(libc::AF_INET6), number(libc::AF_NETLINK));
    let mut filter = Filter::of([]);
    filter.deny(
        libc::SYS_socket,
        &[(0, SeccompCmpOp::Ne, v4), (0, SeccompCmpOp::Ne, v6), (0, SeccompCmpOp::Ne, netlink)],
    )?;
    let routes = number(libc::NETLINK_ROUTE);
    filter
        .deny(libc::SYS_socket, &[(0, SeccompCmpOp::Eq, netlink), (2, SeccompCmpOp::Ne, routes)])?;
    let raw = number(libc::SOCK_RAW);
    for family in [v4, v6] {
        let kind = (1, SeccompCmpOp::MaskedEq(KIND), raw);
        filter.deny(libc::SYS_socket, &[(0, SeccompCmpOp::Eq, family), kind])?;
    }
    // Every other kind of pair than streams: datagrams, sequenced packets, raw.
    for kind in [libc::SOCK_DGRAM, libc::SOCK_RAW, libc::SOCK_SEQPACKET] {
        let kind = (1, SeccompCmpOp::MaskedEq(KIND), number(kind));
        filter.deny(libc::SYS_socketpair, &[kind])?;
    }
    Ok(filter)
}

/// No program, no child, only threads.
fn programs() -> Result<Filter, String> {
    let mut filter = Filter::of(PROGRAMS.into_iter().chain(FORKS));
    let thread = number(libc::CLONE_THREAD);
    filter.deny(libc::SYS_clone, &[(0, SeccompCmpOp::MaskedEq(thread), 0)])?;
    Ok(filter)
}

/// What the filters above cannot look into: `clone3` is not there at all, since the C library then
/// uses `clone`, and calls by the numbers of another binary interface are denied whole.
fn unseen() -> Result<(), String> {
    const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS, of the call's number at offset 0
    const AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
    const EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    let clone3 = u32::try_from(libc::SYS_clone3).map_err(|error| error.to_string())?;
    let answer = |error: i32| libc::SECCOMP_RET_ERRNO | error.unsigned_abs();
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let program = [
        step(LOAD, 0, 0, 0),
        step(AT_LEAST, 3, 0, OTHER_INTERFACE),
        step(EQUAL, 1, 0, clone3),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
        step(RETURN, 0, 0, answer(libc::ENOSYS)),
        step(RETURN, 0, 0, answer(libc::EPERM)),
    ];
    seccompiler::apply_filter(&program).map_err(|error| error.to_string())
}

/// A constant of the kernel's, which are never negative here, as its lower 32 bits.
fn number(constant: i32) -> u64 {
    u64::from(constant.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::{DENIED, OTHER_INTERFACE, calls, sockets, unseen};
    use std::process::Command;

    /// What a script of another language says, which calls the kernel without asking Rust.
    fn perl(script: &str) -> String {
        let output = Command::new("perl").args(["-e", script]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn a_fenced_process_cannot_type_into_its_owners_terminal() {
        let letter = r#"open(F, "<", "/dev/null"); ioctl(F, 0x5412, my $x = "x"); print $! + 0"#;
        std::thread::spawn(move || {
            assert_eq!(perl(letter), libc::ENOTTY.to_string(), "the rule is what denies it");
            calls().unwrap().raise().unwrap();
            assert_eq!(perl(letter), libc::EPERM.to_string());
        })
        .join()
        .unwrap();
    }

    /// The error of each of these calls, made with nothing in hand.
    fn errors(calls: &[libc::c_long]) -> Vec<i32> {
        let list = calls.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let each = "$! = 0; syscall($call, -1, 0, 0, 0, 0); print $! + 0, qq(\\n)";
        let said = perl(&format!("for my $call ({list}) {{ {each} }}"));
        said.lines().map(|line| line.parse().unwrap()).collect()
    }

    #[test]
    fn every_call_on_the_list_is_denied_under_all_its_numbers() {
        std::thread::spawn(|| {
            assert_eq!(errors(&[libc::SYS_getpid, libc::SYS_kcmp])[0], 0);
            assert_ne!(errors(&[libc::SYS_kcmp]), [libc::EPERM], "the rules are what deny it");
            calls().unwrap().raise().unwrap();
            unseen().unwrap();
            assert_eq!(errors(&DENIED), [libc::EPERM; DENIED.len()]);
            let x32 = i64::from(OTHER_INTERFACE) | libc::SYS_getpid;
            assert_eq!(errors(&[x32, libc::SYS_clone3]), [libc::EPERM, libc::ENOSYS]);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn sockets_are_for_the_network_alone() {
        // Family, kind, protocol; 1 is AF_UNIX, 2 AF_INET, 16 AF_NETLINK, 38 AF_ALG, 40 AF_VSOCK.
        let socket = |family: u64, kind: u32, protocol: u32| {
            let call = libc::SYS_socket;
            let script =
                format!("$! = 0; syscall({call}, {family}, {kind}, {protocol}); print $! + 0");
            perl(&script).parse::<i32>().unwrap()
        };
        let pair = |kind: u32| {
            let call = libc::SYS_socketpair;
            let script =
                format!("$! = 0; syscall({call}, 1, {kind}, 0, $x = \"\\0\" x 8); print $! + 0");
            perl(&script).parse::<i32>().unwrap()
        };
        std::thread::spawn(move || {
            assert_eq!((socket(1, 1, 0), pair(2)), (0, 0), "the rules are what deny it");
            sockets().unwrap().raise().unwrap();
            // The upper half of the register is not the kernel's business, and tricks nobody.
            for family in [1, 0x1_0000_0001, 38, 40] {
                assert_eq!(socket(family, 1, 0), libc::EPERM, "family {family}");
            }
            // Flags such as close-on-exec come in the same number as the kind.
            for kind in [2, 3, 5, 2 | 0x8_0000] {
                assert_eq!(pair(kind), libc::EPERM, "pair {kind}");
            }
            assert_eq!(socket(2, 3, 1), libc::EPERM, "raw");
            assert_eq!(socket(16, 3, 9), libc::EPERM, "audit");
            assert_eq!(
                (socket(2, 1, 0), socket(10, 2, 0), socket(16, 3, 0), pair(1)),
                (0, 0, 0, 0)
            );
        })
        .join()
        .unwrap();
    }
}
