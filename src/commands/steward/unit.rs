//! The systemd unit of a steward, as text.
//!
//! A name or path that systemd would read as something else is refused, not quoted.

use std::path::{Path, PathBuf};

/// The unit's name.
pub(super) const NAME: &str = "marque-steward.service";

/// The name under which the steward finds its unlock secret.
pub(super) const CREDENTIAL: &str = "marque-unlock";

/// What a unit is made from.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub(super) program: PathBuf,
    pub(super) home: PathBuf,
    pub(super) user: String,
    /// The file with the unlock secret.
    pub(super) credential: PathBuf,
    /// Whether `systemd-creds` has encrypted it.
    pub(super) encrypted: bool,
    /// Agents whose minds run as users of their own.
    pub(super) minds: Vec<(String, String)>,
}

/// Where the sockets of such minds are, below `/run`.
const SOCKETS: &str = "marque";

/// Folders that the service does not see, or that are not kept.
const NOT_FOR_SERVICES: [&str; 9] =
    ["/home", "/root", "/run", "/tmp", "/var/tmp", "/dev", "/proc", "/sys", "/boot"];

/// Folders of the system, which no user of a service's own may come to own.
const OF_THE_SYSTEM: [&str; 18] = [
    "/",
    "/bin",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/media",
    "/mnt",
    "/opt",
    "/sbin",
    "/srv",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/local",
    "/usr/share",
    "/var",
    "/var/lib",
];

impl Unit {
    /// Whether systemd reads every part of it as it is meant.
    pub(super) fn check(&self) -> Result<(), String> {
        user(&self.user)?;
        for (agent, mind) in &self.minds {
            user(mind)?;
            if *mind == self.user {
                return Err(format!("the mind of {agent} and the steward are to be two users"));
            }
            if agent.is_empty() || !agent.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
                return Err(format!("\"{agent}\" is not an agent's name"));
            }
        }
        for path in [&self.program, &self.home, &self.credential] {
            plain(path)?;
        }
        if let Some(folder) = hidden(&self.home) {
            return Err(format!(
                "a service's home may not lie in {folder}, which the service does not see: {}",
                self.home.display()
            ));
        }
        if OF_THE_SYSTEM.iter().any(|folder| self.home == Path::new(folder)) {
            return Err(format!(
                "{} is the system's; a steward's home is a folder of its own",
                self.home.display()
            ));
        }
        Ok(())
    }

    /// The text.
    pub(super) fn text(&self) -> String {
        let Self { program, home, user, credential, encrypted, minds } = self;
        let (program, home, credential) = (program.display(), home.display(), credential.display());
        let (mut run, mut sockets) = (String::new(), "");
        if !minds.is_empty() {
            for (agent, mind) in minds {
                run.push_str(&format!(" --mind-user {agent}={mind}"));
            }
            run.push_str(&format!(" --mind-sockets /run/{SOCKETS}"));
            // Whoever may not speak is turned away by the steward, who sees the user.
            sockets = "RuntimeDirectory=marque\nRuntimeDirectoryMode=0755\n";
        }
        let load = if *encrypted { "LoadCredentialEncrypted" } else { "LoadCredential" };
        format!(
            "# Written by `marque steward install`. Changes of your own belong into a drop-in:\n\
             # systemctl edit {NAME}\n\
             \n\
             [Unit]\n\
             Description=Marque steward of {home}\n\
             Wants=network-online.target\n\
             After=network-online.target\n\
             StartLimitIntervalSec=5min\n\
             StartLimitBurst=5\n\
             \n\
             [Service]\n\
             Type=notify\n\
             NotifyAccess=main\n\
             ExecStart={program} --home {home} steward run{run}\n\
             {load}={CREDENTIAL}:{credential}\n\
             Restart=on-failure\n\
             RestartSec=5s\n\
             # The chain may be slow to answer; what is under way is finished at the end.\n\
             TimeoutStartSec=5min\n\
             TimeoutStopSec=2min\n\
             \n\
             # A user of its own, and nothing but its home to write to.\n\
             User={user}\n\
             Group={user}\n\
             UMask=0077\n\
             ProtectSystem=strict\n\
             ReadWritePaths={home}\n\
             {sockets}\
             ProtectHome=yes\n\
             PrivateTmp=yes\n\
             PrivateDevices=yes\n\
             \n\
             # No way to more than that. (Not PrivateUsers: the steward has to see who connects.)\n\
             NoNewPrivileges=yes\n\
             CapabilityBoundingSet=\n\
             AmbientCapabilities=\n\
             RestrictSUIDSGID=yes\n\
             RestrictNamespaces=yes\n\
             RestrictRealtime=yes\n\
             LockPersonality=yes\n\
             MemoryDenyWriteExecute=yes\n\
             KeyringMode=private\n\
             RemoveIPC=yes\n\
             \n\
             # Nothing of the kernel's, and nothing of other processes.\n\
             ProtectKernelTunables=yes\n\
             ProtectKernelModules=yes\n\
             ProtectKernelLogs=yes\n\
             ProtectControlGroups=yes\n\
             ProtectClock=yes\n\
             ProtectHostname=yes\n\
             ProtectProc=invisible\n\
             ProcSubset=pid\n\
             \n\
             # Its sockets and the chain's endpoints; its own fence (Landlock, seccomp) on top.\n\
             RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6\n\
             SystemCallArchitectures=native\n\
             SystemCallFilter=@system-service\n\
             SystemCallFilter=~@privileged @keyring\n\
             SystemCallFilter={FENCE}\n\
             SystemCallErrorNumber=EPERM\n\
             \n\
             # Keys stay in memory, out of swap and out of core dumps.\n\
             LimitCORE=0\n\
             LimitMEMLOCK=infinity\n\
             MemorySwapMax=0\n\
             \n\
             [Install]\n\
             WantedBy=multi-user.target\n"
        )
    }
}

/// The system calls by which a steward fences itself.
const FENCE: &str = "landlock_create_ruleset landlock_add_rule landlock_restrict_self seccomp";

/// The folder that hides `path` from a service, if one does.
pub(super) fn hidden(path: &Path) -> Option<&'static str> {
    NOT_FOR_SERVICES.into_iter().find(|folder| path.starts_with(folder))
}

/// A user's name that every tool takes for one.
fn user(name: &str) -> Result<(), String> {
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if name == "root" {
        return Err("a steward does not run as root; name a user of its own".to_owned());
    }
    if starts && name.len() <= 31 && name.chars().all(plain) {
        Ok(())
    } else {
        Err(format!("\"{name}\" is not a user's name; use a-z, 0-9, - and _"))
    }
}

/// An absolute path without what systemd or a shell reads as something else.
fn plain(path: &Path) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@".contains(c);
    let text = path.to_str().unwrap_or_default();
    let climbs = path.components().any(|part| part.as_os_str() == "..");
    if path.is_absolute() && text.chars().all(plain) && !climbs {
        Ok(())
    } else {
        Err(format!(
            "{} cannot stand in a service's unit; use an absolute path of letters, digits and . _ - +",
            path.display()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(home: &str, user: &str) -> Unit {
        Unit {
            program: "/usr/local/bin/marque".into(),
            home: home.into(),
            user: user.to_owned(),
            credential: "/etc/credstore.encrypted/marque-unlock".into(),
            encrypted: true,
            minds: Vec::new(),
        }
    }

    #[test]
    fn what_systemd_would_read_otherwise_is_refused() {
        assert_eq!(unit("/var/lib/marque", "marque").check(), Ok(()));
        for home in [
            "/home/ada/.marque",
            "/tmp/x",
            "var/lib",
            "/a b",
            "/a%h",
            "/a\nUser=root",
            "/var/../root",
            "/",
            "/etc/",
            "/usr/.",
        ] {
            assert!(unit(home, "marque").check().is_err(), "{home}");
        }
        let minds = |agent: &str, mind: &str| Unit {
            minds: vec![(agent.to_owned(), mind.to_owned())],
            ..unit("/var/lib/marque", "marque")
        };
        assert_eq!(minds("scout", "scout").check(), Ok(()));
        for (agent, mind) in [("scout", "marque"), ("scout", "root"), ("a b", "scout"), ("", "x")] {
            assert!(minds(agent, mind).check().is_err(), "{agent}={mind}");
        }
        for user in ["root", "", "0", "a b", "Marque", "m\nExecStartPre=/bin/sh"] {
            assert!(unit("/var/lib/marque", user).check().is_err(), "{user}");
        }
    }
}
