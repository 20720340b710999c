//! `marque steward install`: the steward as a service with a user of its own.
//!
//! Writes one file, the unit, and says every other step, for each is an administrator's decision.

use super::unit::{CREDENTIAL, NAME, Unit, hidden};
use crate::{
    commands::{Shared, ask},
    failure::{Context as _, Done, Failure},
    story::{print, say},
};
use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Whom the steward runs as, if nobody says otherwise.
const USER: &str = "marque";

/// Where a service's home is, if nobody says otherwise.
const HOME: &str = "/var/lib/marque";

/// Where the unlock secret is, if nobody says otherwise; the folder may be made.
const CREDENTIALS: &str = "/etc/credstore.encrypted";

/// Where a program that all may run is.
const PROGRAM: &str = "/usr/local/bin/marque";

#[derive(Debug, clap::Args)]
pub(crate) struct InstallArgs {
    /// Print the unit and the steps; change nothing.
    #[arg(long)]
    print: bool,
    /// The user that the steward runs as, and nothing else does.
    #[arg(long, value_name = "NAME", default_value = USER)]
    user: String,
    /// The marque program that the service runs; else this one, if a service can see it.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// The file with the unlock secret, encrypted by systemd-creds.
    #[arg(long, value_name = "FILE", default_value_os_t = Path::new(CREDENTIALS).join(CREDENTIAL))]
    credential: PathBuf,
    /// The file with the unlock secret is not encrypted (systemd before 250, or no TPM and no host
    /// key): whoever reads that file opens the agents' keys.
    #[arg(long)]
    plain_credential: bool,
    /// Let the mind of agent NAME run as USER, a user of its own; may be given several times. Its
    /// socket is /run/marque/NAME.sock.
    #[arg(long, value_name = "NAME=USER", value_parser = pair)]
    mind_user: Vec<(String, String)>,
    /// The folder that the unit goes to.
    #[arg(long, value_name = "DIR", default_value = "/etc/systemd/system")]
    to: PathBuf,
    /// Do not ask before the unit is written.
    #[arg(long, short = 'y')]
    yes: bool,
}

pub(super) fn run(shared: &Shared, args: &InstallArgs) -> Done<ExitCode> {
    let home = shared.home.clone().unwrap_or_else(|| HOME.into());
    let (program, copy) = program(args)?;
    let unit = Unit {
        program,
        home,
        user: args.user.clone(),
        credential: args.credential.clone(),
        encrypted: !args.plain_credential,
        minds: args.mind_user.clone(),
    };
    unit.check().map_err(|why| {
        Failure::usage(why).help(format!("for example: marque --home {HOME} steward install"))
    })?;
    let (text, file) = (unit.text(), args.to.join(NAME));
    let steps = steps(&unit, copy.as_deref(), &file, args);
    if !args.print {
        write(args, &file, &text)?;
    }
    if shared.json {
        say!(
            "{}",
            serde_json::json!({
                "file": file, "written": !args.print, "unit": text, "steps": steps,
            })
        );
        return Ok(ExitCode::SUCCESS);
    }
    if args.print {
        print(&text);
    } else {
        say!("{} is written", file.display());
    }
    // Beside the unit, so that the unit alone can go into a file.
    anstream::eprintln!("\nwhat is left to do, as an administrator:");
    for (number, (why, commands)) in steps.iter().enumerate() {
        anstream::eprintln!("{}. {why}", number + 1);
        for command in commands {
            anstream::eprintln!("     {command}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The program of the service, and the one to copy there where a service cannot see this one.
fn program(args: &InstallArgs) -> Done<(PathBuf, Option<PathBuf>)> {
    if let Some(program) = &args.program {
        let place = program.display();
        if let Some(folder) = hidden(program) {
            return Err(Failure::usage(format!(
                "the service does not see {folder}, and so not its program {place}"
            ))
            .help(format!("copy it to {PROGRAM}")));
        }
        if !program.is_file() {
            return Err(Failure::usage(format!("there is no program {place}"))
                .help(format!("without --program it is this one, copied to {PROGRAM}")));
        }
        return Ok((program.clone(), None));
    }
    let this = std::env::current_exe().doing("cannot find myself")?;
    let common = ["/usr", "/opt", "/bin"].iter().any(|folder| this.starts_with(folder));
    if common && hidden(&this).is_none() {
        Ok((this, None))
    } else {
        Ok((PROGRAM.into(), Some(this)))
    }
}

/// A step: why, and the commands.
type Step = (String, Vec<String>);

/// What an administrator does before the service runs.
fn steps(unit: &Unit, copy: Option<&Path>, file: &Path, args: &InstallArgs) -> Vec<Step> {
    let Unit { program, home, user, credential, encrypted, minds } = unit;
    let (program, home, folder) = (program.display(), home.display(), credential.parent());
    let folder = folder.unwrap_or(Path::new("/"));
    let credential = credential.display();
    let users = users();
    let new = |name: &String| !users.contains(name);
    let mut steps = Vec::new();
    if new(user) {
        steps.push((
            "a user that nobody logs in as:".to_owned(),
            vec![format!(
                "sudo useradd --system --user-group --no-create-home --home-dir {home} \
                 --shell /usr/sbin/nologin {user}"
            )],
        ));
    }
    let add: Vec<_> = minds
        .iter()
        .filter(|(_, mind)| new(mind))
        .map(|(_, mind)| {
            format!("sudo useradd --system --user-group --shell /usr/sbin/nologin {mind}")
        })
        .collect();
    if !add.is_empty() {
        steps.push(("a user for each mind that has one:".to_owned(), add));
    }
    if let Some(from) = copy {
        steps.push((
            "the program, where the service sees it:".to_owned(),
            vec![format!("sudo install -m 0755 {} {program}", from.display())],
        ));
    }
    steps.push((
        "the home, and an agent in it (the owner's key stays on your machine), or move one there:"
            .to_owned(),
        vec![
            format!("sudo install -d -m 0700 -o {user} -g {user} {home}"),
            format!("sudo -u {user} {program} --home {home} new NAME --owner-address 0x..."),
            format!("or: sudo cp -a OLD/. {home} && sudo chown -R {user}: {home}"),
        ],
    ));
    let (how, command) = if *encrypted {
        let encrypt = format!("sudo systemd-creds encrypt --name={CREDENTIAL} - {credential}");
        ("the unlock secret, encrypted for this host (type it, then Ctrl-D twice):", encrypt)
    } else {
        ("the unlock secret, readable by root (type it, then Ctrl-D twice):", {
            format!("sudo sh -c 'umask 077; cat > {credential}'")
        })
    };
    // The mode of a folder that is there is not ours to change.
    let make = format!("sudo install -d -m 0700 {}", folder.display());
    let make = if folder == Path::new(CREDENTIALS) {
        make
    } else {
        format!("test -d {} || {make}", folder.display())
    };
    steps.push((how.to_owned(), vec![make, command]));
    if args.print {
        steps.push((
            "the unit:".to_owned(),
            vec![format!(
                "{program} --home {home} steward install --print{} | sudo tee {} >/dev/null",
                given(args),
                file.display()
            )],
        ));
    }
    steps.push((
        "start it, now and at each boot:".to_owned(),
        vec![
            "sudo systemctl daemon-reload".to_owned(),
            format!("sudo systemctl enable --now {NAME}"),
            format!("sudo -u {user} {program} --home {home} status"),
        ],
    ));
    steps
}

/// The options that were given, to be typed once more; none of them needs quotes in a unit.
fn given(args: &InstallArgs) -> String {
    let mut text = String::new();
    if args.user != USER {
        text.push_str(&format!(" --user {}", args.user));
    }
    if let Some(program) = &args.program {
        text.push_str(&format!(" --program {}", program.display()));
    }
    if args.credential != Path::new(CREDENTIALS).join(CREDENTIAL) {
        text.push_str(&format!(" --credential {}", args.credential.display()));
    }
    if args.plain_credential {
        text.push_str(" --plain-credential");
    }
    for (agent, mind) in &args.mind_user {
        text.push_str(&format!(" --mind-user {agent}={mind}"));
    }
    text
}

/// The users of this host that its own list has; useradd says so of any other that exists.
fn users() -> BTreeSet<String> {
    let list = fs::read_to_string("/etc/passwd").unwrap_or_default();
    list.lines().filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect()
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (agent, user) = text.split_once('=').ok_or("write it as NAME=USER")?;
    Ok((agent.to_owned(), user.to_owned()))
}

/// Writes the unit, whole or not at all, if root and asked to.
fn write(args: &InstallArgs, file: &Path, text: &str) -> Done {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new(format!("only root writes {}", file.display()))
            .help("sudo marque steward install; or --print, and look at it first"));
    }
    if !args.yes {
        let question = match fs::read_to_string(file) {
            Ok(old) if old == text => {
                format!("{} is there as it should be; write it again? [y/N] ", file.display())
            }
            Ok(_) => format!("{} is there and differs; replace it? [y/N] ", file.display()),
            Err(_) => format!("write {}? [y/N] ", file.display()),
        };
        match ask(&question) {
            Ok(answer) if matches!(answer.trim(), "y" | "Y" | "yes") => {}
            Ok(_) => return Err(Failure::new("nothing was written")),
            Err(_) => {
                return Err(Failure::usage("nobody can be asked here, and nothing was written")
                    .help("look at it with --print, then add --yes"));
            }
        }
    }
    let mut draft = tempfile::NamedTempFile::new_in(&args.to).doing(args.to.display())?;
    draft
        .write_all(text.as_bytes())
        .and_then(|()| draft.as_file().set_permissions(fs::Permissions::from_mode(0o644)))
        .and_then(|()| draft.as_file().sync_all())
        .doing(file.display())?;
    draft.persist(file).map(drop).doing(file.display())
}
