//! The file rules, by Landlock.

use super::Fence;
use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd,
    Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetStatus, Scope,
    make_bitflags,
};
use std::path::Path;

/// What a running program reads of the system: libraries, certificates, names of hosts, time zones,
/// and what a maths library asks about the processors. No `/etc/shadow`, no other process.
const SYSTEM: [&str; 24] = [
    "/usr",
    "/lib",
    "/lib64",
    "/bin",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/etc/ld.so.cache",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/localtime",
    "/run/systemd/resolve",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/sys/fs/cgroup",
    "/dev/urandom",
    "/dev/random",
];

/// The rules of this version are asked for; an older kernel gives those that it has.
const RULES: ABI = ABI::V6;

/// What is granted nowhere.
const NEVER: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    Execute | MakeSym | MakeSock | MakeFifo | MakeChar | MakeBlock | IoctlDev
});

/// The walls that stand, and those that do not.
type Built = (Vec<String>, Vec<String>);

/// Restricts this process to what is listed.
pub(super) fn restrict(fence: &Fence) -> Result<Built, String> {
    try_restrict(fence).map_err(|error| error.to_string())
}

fn try_restrict(fence: &Fence) -> Result<Built, landlock::RulesetError> {
    // No execution anywhere: a mind starts no program. Of things to make only files and folders:
    // a link in its folder could lead somebody with more rights astray.
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let all = AccessFs::from_all(RULES) & !NEVER;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(RULES))?
        .scope(Scope::from_all(RULES))?
        .create()?;
    let own = std::env::current_exe().ok();
    let readable = SYSTEM.iter().map(Path::new).chain(fence.read.iter().map(AsRef::as_ref));
    for path in readable.chain(own.as_deref()) {
        rules = allow(rules, path, read)?;
    }
    for path in &fence.write {
        rules = allow(rules, path, all)?;
    }
    rules = allow(rules, Path::new("/dev/null"), read | AccessFs::WriteFile)?;
    let status = rules.restrict_self()?;
    let files = "files by list, no programs";
    let signals = "no signals to other processes";
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => (vec![files.to_owned(), signals.to_owned()], vec![]),
        RulesetStatus::PartiallyEnforced => (
            vec![files.to_owned()],
            vec![format!("{signals} and the newest file rules: this kernel is older")],
        ),
        RulesetStatus::NotEnforced => {
            (vec![], vec![format!("{files}: this kernel runs without Landlock")])
        }
    })
}

/// Allows `access` beneath `path`, if it exists. Rights that only folders have are left out for
/// files.
fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, landlock::RulesetError> {
    let Ok(opened) = PathFd::new(path) else { return Ok(rules) };
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(RULES) };
    rules.add_rule(PathBeneath::new(opened, access))
}
