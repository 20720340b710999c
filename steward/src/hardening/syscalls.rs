//! System calls that a steward has no use for, by seccomp: other processes, the kernel, file
//! systems, the clock, and, where it starts no mind and no hook, programs. They fail with `EPERM`.
//!
//! A steward that is broken into keeps its key's power until it is stopped; this keeps it from
//! taking more.

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, sock_filter};

/// What is never needed. The mind, which inherits it, is fenced more tightly.
const DENIED: [libc::c_long; 42] = [
    libc::SYS_acct,
    libc::SYS_add_key,
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
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
];

/// Starting programs.
const PROGRAMS: [libc::c_long; 2] = [libc::SYS_execve, libc::SYS_execveat];

/// On x86 the numbers of the calls of another binary interface start here.
const OTHER_INTERFACE: u32 = 0x4000_0000;

/// Denies them on this thread and those that it starts.
pub(super) fn restrict(programs: bool) -> Result<(), String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
    let more = if programs { [].as_slice() } else { &PROGRAMS };
    let rules = DENIED.iter().chain(more).map(|call| (*call, Vec::new())).collect();
    let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, denied, arch)
        .map_err(|error| error.to_string())?;
    let program: BpfProgram =
        filter.try_into().map_err(|error: seccompiler::BackendError| error.to_string())?;
    seccompiler::apply_filter(&program).map_err(|error| error.to_string())?;
    other_interfaces()
}

/// The same calls have other numbers in another binary interface, which is denied whole.
fn other_interfaces() -> Result<(), String> {
    const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS, of the call's number at offset 0
    const AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let program = [
        step(LOAD, 0, 0, 0),
        step(AT_LEAST, 1, 0, OTHER_INTERFACE),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs()),
    ];
    seccompiler::apply_filter(&program).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// The errors of these calls, made with nothing in hand by a script of another language.
    fn errors(calls: &[libc::c_long]) -> Vec<i32> {
        let list = calls.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let script = format!(
            "for my $call ({list}) {{ $! = 0; syscall($call, -1, 0, 0, 0, 0); print $! + 0, \"\\n\" }}"
        );
        let output = Command::new("perl").args(["-e", &script]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }

    #[test]
    fn a_steward_makes_no_call_that_it_has_no_use_for() {
        std::thread::spawn(|| {
            let open = [libc::SYS_getpid, libc::SYS_kcmp];
            assert_ne!(errors(&open), [0, libc::EPERM], "the rules are what denies it");
            restrict(true).unwrap();
            assert_eq!(errors(&DENIED), [libc::EPERM; DENIED.len()]);
            assert_eq!(errors(&[libc::SYS_getpid]), [0]);
            let x32 = i64::from(OTHER_INTERFACE) | libc::SYS_getpid;
            assert_eq!(errors(&[x32]), [libc::EPERM]);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_steward_without_a_mind_or_a_hook_starts_no_program() {
        std::thread::spawn(|| {
            Command::new("/bin/true").status().unwrap();
            restrict(false).unwrap();
            let error = Command::new("/bin/true").status().unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EPERM));
        })
        .join()
        .unwrap();
    }
}
