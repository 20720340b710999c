//! Which policy is meant, and reading it: a file, an agent's draft, or what is in force for it.

use crate::{
    commands::Shared,
    failure::{Done, Failure},
};
use marque::{
    drafts::{Draft, DraftError, PolicyFiles},
    home::Home,
};
use marque_policies::{Policy, PolicyError, Sources, Warning, parse};
use miette::{GraphicalReportHandler, GraphicalTheme};
use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// What stands behind an agent's name for the policy that is in force, not the draft.
const ADOPTED: &str = "@adopted";

/// The files that go with a policy file.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Companions {
    /// The owner.toml that goes with a policy file; an agent's draft finds its own.
    #[arg(long, value_name = "FILE")]
    pub(super) owner: Option<PathBuf>,
    /// The policy.cedar that goes with a policy file; an agent's draft finds its own.
    #[arg(long, value_name = "FILE")]
    pub(super) cedar: Option<PathBuf>,
    /// What stands before their names where a command line has two sides: `old-`.
    #[arg(skip)]
    pub(super) side: &'static str,
}

impl Companions {
    /// A file that was named and is not there was typed wrong.
    fn exist(&self) -> Done {
        let named = [self.owner.as_ref(), self.cedar.as_ref()].into_iter().flatten();
        match named.into_iter().find(|path| !path.is_file()) {
            Some(path) => Err(Failure::usage(format!("there is no file {}", path.display()))),
            None => Ok(()),
        }
    }

    /// Says of forbids that lie beside a policy file that they were not read.
    fn tell_unread(&self, policy: &Path, document: &str) {
        let beside = policy.with_extension("cedar");
        let whole = Sources::read(document).is_ok_and(|sources| sources.cedar.is_some());
        if self.cedar.is_none() && !whole && beside != policy && beside.is_file() {
            let (beside, side) = (beside.display(), self.side);
            anstream::eprintln!(
                "note: there is {beside} beside it; give --{side}cedar to read it as well"
            );
        }
    }
}

/// A policy that was named on the command line, read.
#[derive(Debug)]
pub(crate) struct Named {
    /// As people call it: `scout's draft`, `old.toml`.
    pub(crate) label: String,
    /// The one text of all its documents.
    pub(crate) document: String,
    /// What it says.
    pub(crate) policy: Policy,
    /// What its owner should look at.
    pub(crate) warnings: Vec<Warning>,
    /// Where it was read; nowhere for what is in force.
    files: Option<PolicyFiles>,
}

impl Named {
    /// Reads the policy that `name` means.
    pub(crate) fn find(home: &Home, name: &str, with: &Companions) -> Done<Self> {
        if let Some(agent) = name.strip_suffix(ADOPTED) {
            return Self::adopted(home, agent)?.ok_or_else(|| {
                Failure::usage(format!("no policy is in force for {agent} yet"))
                    .help(format!("adopt its draft first: marque policy adopt {agent}"))
            });
        }
        let path = PathBuf::from(name);
        if path.is_file() {
            with.exist()?;
            let Companions { owner, cedar, .. } = with.clone();
            let files = PolicyFiles { policy: path.clone(), owner, cedar };
            let named = Self::read(name.to_owned(), files)?;
            with.tell_unread(&path, &named.document);
            return Ok(named);
        }
        if name.ends_with(".toml") || name.contains('/') {
            return Err(Failure::usage(format!("there is no file {name}")));
        }
        if with.owner.is_some() || with.cedar.is_some() {
            let side = with.side;
            let line = format!(
                "--{side}owner and --{side}cedar go with a policy file, not with an agent's name"
            );
            return Err(Failure::usage(line).help(
                "an agent's policy.cedar and the home's owner.toml are found by themselves",
            ));
        }
        Self::draft(home, name).map_err(|failure| {
            failure.or_help("give a policy file, or the name of an agent, or NAME@adopted")
        })
    }

    /// The draft of an agent of this home, and of nothing else that has its name.
    pub(crate) fn draft(home: &Home, agent: &str) -> Done<Self> {
        known(home, agent)?;
        Self::read(format!("{agent}'s draft"), PolicyFiles::of(home, agent))
    }

    /// The policy that is in force for an agent, from the journal; `None` where there is none yet.
    pub(crate) fn adopted(home: &Home, agent: &str) -> Done<Option<Self>> {
        known(home, agent)?;
        let laid_out = marque_steward::Home::open(home.path())?;
        if !laid_out.has_journal() {
            return Ok(None);
        }
        let state = marque_steward::audit::state(&laid_out)?;
        let Some(adopted) = state.agent(agent).and_then(|account| account.policy.as_ref()) else {
            return Ok(None);
        };
        let label = format!("{agent}'s policy in force");
        let (policy, warnings) =
            parse(&adopted.document).map_err(|error| mistake(error.in_file(&label)))?;
        let document = adopted.document.clone();
        Ok(Some(Self { label, document, policy, warnings, files: None }))
    }

    /// A policy whose document came from elsewhere. One that would do something to a terminal is not
    /// even read, as mistakes are shown with the line that they are in.
    pub(crate) fn carried(label: String, document: String) -> Done<Self> {
        let shown = |c: char| "\n\r\t\"'\\".contains(c) || c.escape_debug().len() == 1;
        if let Some(c) = document.chars().find(|c| !shown(*c)) {
            return Err(Failure::new(format!(
                "{label}: it has the character {}",
                c.escape_debug()
            ))
            .help("a policy is plain text; do not trust where it came from before you know why"));
        }
        let (policy, warnings) =
            parse(&document).map_err(|error| mistake(error.in_file(&label)))?;
        Ok(Self { label, document, policy, warnings, files: None })
    }

    fn read(label: String, files: PolicyFiles) -> Done<Self> {
        let Draft { document, policy, warnings } = files.read().map_err(|error| match error {
            DraftError::Policy(error) => mistake(error),
            error => Failure::new(error),
        })?;
        Ok(Self { label, document, policy, warnings, files: Some(files) })
    }

    /// Where the document of this name is, as it is shown.
    pub(crate) fn path(&self, document: &str) -> String {
        let path = self.files.as_ref().map(|files| files.path(document));
        path.map_or_else(
            || format!("{}, {document}", self.label),
            |path| path.display().to_string(),
        )
    }

    /// That it has ended by this machine's clock, said of the line that says when.
    pub(crate) fn expired(&self) -> Option<Warning> {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
        if u128::from(self.policy.expires?) > now {
            return None;
        }
        let Sources { policy, owner, .. } = Sources::read(&self.document).ok()?;
        let parts = [("policy.toml", Some(policy)), ("owner.toml", owner)];
        let mut lines = parts.iter().flat_map(|(file, text)| {
            let lines = text.iter().flat_map(|text| text.lines()).enumerate();
            lines.map(move |(at, line)| (*file, at + 1, line))
        });
        let (file, line, text) = lines
            .find(|(_, _, line)| line.trim_start().starts_with("expires"))
            .unwrap_or(("policy.toml", 1, "expires"));
        let said = text.split('#').next().unwrap_or(text).trim();
        let message = format!(
            "`{said}` has passed on this machine's clock: money may only go back to the owner"
        );
        let column = text.chars().take_while(|c| c.is_whitespace()).count() + 1;
        Some(Warning { file, message, line, column })
    }

    /// A line to standard error for each warning.
    pub(crate) fn warn(&self) {
        for Warning { file, message, line, column } in &self.warnings {
            anstream::eprintln!("warning: {}:{line}:{column}: {message}", self.path(file));
        }
    }

    /// The warnings for scripts.
    pub(crate) fn warnings(&self) -> serde_json::Value {
        let warnings = self.warnings.iter().map(|Warning { file, message, line, column }| {
            serde_json::json!({
                "file": self.path(file), "line": line, "column": column, "message": message,
            })
        });
        warnings.collect()
    }
}

/// The policy of an agent's draft, for what the command line needs to know of chain and assets.
pub(crate) fn draft_of(home: &Home, agent: &str) -> Done<Policy> {
    Named::draft(home, agent).map(|draft| draft.policy)
}

/// An agent that has a folder in this home.
pub(crate) fn known(home: &Home, agent: &str) -> Done {
    if home.has(agent) { Ok(()) } else { Err(unknown(home, agent)) }
}

/// There is no such agent, but perhaps others.
pub(crate) fn unknown(home: &Home, agent: &str) -> Failure {
    const TOLD: usize = 16;
    let mut others = home.agents();
    if others.len() > TOLD {
        others.truncate(TOLD);
        others.push("others".to_owned());
    }
    let failure = Failure::usage(format!("there is no agent {agent} in {}", home.path().display()));
    if others.is_empty() {
        failure.help("make one: marque new NAME; or name another --home")
    } else {
        failure.help(format!("there are {}; marque new NAME makes another", others.join(", ")))
    }
}

/// A mistake in a policy: on a terminal with the line that it is in, else in one line.
pub(crate) fn mistake(error: PolicyError) -> Failure {
    let failure = Failure::new(&error);
    if !std::io::stderr().is_terminal() {
        return match &error.mistake().help {
            Some(help) => failure.help(help),
            None => failure,
        };
    }
    let mut report = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode());
    match handler.render_report(&mut report, &error) {
        Ok(()) => failure.report(report),
        Err(_) => failure,
    }
}

impl Shared {
    /// Reads the policy that `name` means; warnings go to standard error, unless a script reads.
    pub(crate) fn policy(&self, name: &str, with: &Companions) -> Done<Named> {
        let mut named = Named::find(&self.home()?, name, with)?;
        named.warnings.extend(named.expired());
        if !self.json {
            named.warn();
        }
        Ok(named)
    }
}
