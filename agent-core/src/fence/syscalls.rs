//! The system calls that a mind has no use for, by seccomp. They fail with `EPERM`; all others
//! pass, since a list of what a model's library may call would break with each of its versions.

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};
use std::collections::BTreeMap;

/// Other processes' memory, the kernel, file systems, keys, and ways around these rules.
const DENIED: [libc::c_long; 34] = [
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_init_module,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_swapon,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
];

/// Ways to type into a terminal that somebody else reads, such as the owner's shell.
const TYPES: [u64; 2] = [libc::TIOCSTI, libc::TIOCLINUX];

/// Denies them on this thread and those that it starts.
pub(super) fn restrict() -> Result<(), String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
    let mut rules: BTreeMap<i64, Vec<_>> = DENIED.iter().map(|call| (*call, Vec::new())).collect();
    let types = TYPES.into_iter().map(|request| -> Result<_, BackendError> {
        // The kernel looks at the lower half of the request alone, and so do we.
        let length = SeccompCmpArgLen::Dword;
        SeccompRule::new(vec![SeccompCondition::new(1, length, SeccompCmpOp::Eq, request)?])
    });
    let types = types.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    rules.insert(libc::SYS_ioctl, types);
    let eperm = libc::EPERM.unsigned_abs();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(eperm), arch)
        .map_err(|error| error.to_string())?;
    let program: BpfProgram =
        filter.try_into().map_err(|error: seccompiler::BackendError| error.to_string())?;
    seccompiler::apply_filter(&program).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::restrict;
    use std::process::Command;

    /// The error of an attempt to type a letter into something that is no terminal.
    fn type_a_letter() -> String {
        let script = r#"open(F, "<", "/dev/null"); ioctl(F, 0x5412, my $x = "x"); print $! + 0"#;
        let output = Command::new("perl").args(["-e", script]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn a_fenced_process_cannot_type_into_its_owners_terminal() {
        std::thread::spawn(|| {
            assert_eq!(type_a_letter(), libc::ENOTTY.to_string(), "the rule is what denies it");
            restrict().unwrap();
            assert_eq!(type_a_letter(), libc::EPERM.to_string());
        })
        .join()
        .unwrap();
    }
}
