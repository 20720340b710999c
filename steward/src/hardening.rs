//! The walls around a steward's process, and an honest word on which of them stand.
//!
//! Raise them first thing in `main`, while the process has one thread and before any key is read:
//! Landlock binds the thread that asks for it and those that it starts later. Whatever is started
//! afterwards, a mind included, inherits them.

#[cfg(target_os = "linux")]
mod syscalls;

use std::path::PathBuf;

/// Which walls stand and which do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walls {
    /// What is enforced.
    pub enforced: Vec<String>,
    /// What is not, and why.
    pub missing: Vec<String>,
}

/// What the steward's process may touch beside the system's own files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fence {
    /// Folders to read and write: the home.
    pub write: Vec<PathBuf>,
    /// Files and folders to read and execute: what a mind that is started later needs.
    pub read: Vec<PathBuf>,
    /// Whether it starts programs: a mind, or a command of the owner's.
    pub programs: bool,
}

impl Walls {
    /// No walls: in tests, and where somebody forgot.
    #[must_use]
    pub fn none() -> Self {
        Self { enforced: Vec::new(), missing: vec!["no walls were raised".to_owned()] }
    }

    /// Raises what this system has: no core dumps, no inspection by other processes, memory kept
    /// out of swap, a fence around the file system, and no system calls that it has no use for.
    #[must_use]
    pub fn raise(fence: &Fence) -> Self {
        let mut walls = Self::default();
        walls.note("no core dumps", no_core_dumps());
        walls.system(fence);
        walls
    }

    fn note(&mut self, wall: &str, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.enforced.push(wall.to_owned()),
            Err(why) => self.missing.push(format!("{wall}: {why}")),
        }
    }

    #[cfg(target_os = "linux")]
    fn system(&mut self, fence: &Fence) {
        self.note("not inspectable by other processes", linux::not_dumpable());
        self.note("memory stays out of swap", linux::lock_memory());
        match linux::fence(fence) {
            Ok(how) => self.enforced.push(how),
            Err(why) => self.missing.push(format!("file system fence: {why}")),
        }
        // Last, since the others need calls that this one may deny.
        let calls = if fence.programs {
            "no debugging or kernel calls"
        } else {
            "no debugging or kernel calls, no programs"
        };
        self.note(calls, syscalls::restrict(fence.programs));
    }

    #[cfg(not(target_os = "linux"))]
    fn system(&mut self, _fence: &Fence) {
        for wall in [
            "not inspectable by other processes",
            "memory stays out of swap",
            "file system fence",
            "no debugging or kernel calls",
        ] {
            self.note(wall, Err("only on Linux".to_owned()));
        }
    }
}

/// Does `work` on a thread of its own that writes nowhere but in `folder`, as far as this system can
/// fence it: whatever link somebody left there leads no further, for databases that follow them either.
///
/// # Errors
/// Where no thread is to be had, and for one that panicked.
pub(crate) fn confined<T: Send>(
    folder: &std::path::Path,
    work: impl FnOnce() -> T + Send,
) -> std::io::Result<T> {
    let fenced = || {
        #[cfg(target_os = "linux")]
        if let Err(why) = linux::confine(folder) {
            tracing::debug!(why, "nothing keeps this command's writing within the home");
        }
        work()
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, fenced)?;
        thread.join().map_err(|_| std::io::Error::other("it broke off"))
    })
}

fn no_core_dumps() -> Result<(), String> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
        .map_err(|error| error.to_string())
}

#[cfg(target_os = "linux")]
mod linux {
    use super::Fence;
    use landlock::{
        ABI, Access as _, AccessFs, CompatLevel, Compatible as _, RestrictionStatus, Ruleset,
        RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus, path_beneath_rules,
    };
    use rustix::{
        mm::{MlockAllFlags, mlockall},
        process::{DumpableBehavior, Resource, getrlimit, set_dumpable_behavior},
    };

    /// Read and execute: programs, libraries, certificates, name resolution.
    const SYSTEM: [&str; 11] = [
        "/bin",
        "/sbin",
        "/lib",
        "/lib32",
        "/lib64",
        "/usr",
        "/etc",
        "/opt",
        "/proc",
        "/sys",
        "/run/systemd/resolve",
    ];

    /// Read and write: where output goes and randomness comes from.
    const DEVICES: [&str; 5] =
        ["/dev/null", "/dev/zero", "/dev/urandom", "/dev/random", "/dev/tty"];

    /// Bit of `CAP_IPC_LOCK` among the effective capabilities.
    const CAP_IPC_LOCK: u32 = 14;

    pub(super) fn not_dumpable() -> Result<(), String> {
        set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|error| error.to_string())
    }

    /// Only where no limit stands against it: with one, later allocations would fail.
    pub(super) fn lock_memory() -> Result<(), String> {
        if getrlimit(Resource::Memlock).current.is_some() && !may_lock() {
            return Err("the limit on locked memory is too low (LimitMEMLOCK=infinity)".to_owned());
        }
        mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
            .map_err(|error| error.to_string())
    }

    fn may_lock() -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let bits = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
        bits.is_some_and(|bits| (bits >> CAP_IPC_LOCK) & 1 == 1)
    }

    pub(super) fn fence(fence: &Fence) -> Result<String, String> {
        let status = restrict(fence).map_err(|error| error.to_string())?;
        match status.ruleset {
            RulesetStatus::FullyEnforced => Ok("file system fence (Landlock)".to_owned()),
            RulesetStatus::PartiallyEnforced => {
                Ok("file system fence (Landlock, as far as this kernel has it)".to_owned())
            }
            RulesetStatus::NotEnforced => Err("this kernel has no Landlock".to_owned()),
        }
    }

    /// Writing is for `folder` and devices alone, from this thread on and in those that it starts.
    pub(super) fn confine(folder: &std::path::Path) -> Result<(), String> {
        let abi = ABI::V5;
        let confine = || {
            Ruleset::default()
                .set_compatibility(CompatLevel::BestEffort)
                .handle_access(AccessFs::from_write(abi))?
                .create()?
                .add_rules(path_beneath_rules([folder], AccessFs::from_write(abi)))?
                .add_rules(path_beneath_rules(DEVICES, AccessFs::from_write(abi)))?
                .restrict_self()
        };
        let status = confine().map_err(|error: RulesetError| error.to_string())?;
        match status.ruleset {
            RulesetStatus::NotEnforced => Err("this kernel has no Landlock".to_owned()),
            _ => Ok(()),
        }
    }

    fn restrict(fence: &Fence) -> Result<RestrictionStatus, RulesetError> {
        let abi = ABI::V5;
        Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(abi))?
            .create()?
            .add_rules(path_beneath_rules(SYSTEM, AccessFs::from_read(abi)))?
            .add_rules(path_beneath_rules(&fence.read, AccessFs::from_read(abi)))?
            .add_rules(path_beneath_rules(DEVICES, AccessFs::from_all(abi)))?
            .add_rules(path_beneath_rules(&fence.write, AccessFs::from_all(abi)))?
            .restrict_self()
    }
}
