//! `marque policy diff`: where a new policy is wider, narrower or different.

use super::draft::{Companions, Named};
use crate::{
    commands::Shared,
    failure::{Done, Failure},
    story::{print, say},
};
use marque_policies::{Diff, Direction, diff};
use std::{path::PathBuf, process::ExitCode};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DiffArgs {
    /// The old policy: a file, an agent's name for its draft, or NAME@adopted. With nothing else, an
    /// agent's name: what is in force for it is compared with its draft.
    old: String,
    /// The new policy.
    new: Option<String>,
    /// End with 3 where the new policy is anywhere wider, or may be.
    #[arg(long)]
    never_wider: bool,
    /// The owner.toml that goes with NEW, where that is a file.
    #[arg(long, value_name = "FILE")]
    owner: Option<PathBuf>,
    /// The policy.cedar that goes with NEW, where that is a file.
    #[arg(long, value_name = "FILE")]
    cedar: Option<PathBuf>,
    /// The owner.toml that goes with OLD, where that is a file. Not that of --owner.
    #[arg(long, value_name = "FILE")]
    old_owner: Option<PathBuf>,
    /// The policy.cedar that goes with OLD, where that is a file. Not that of --cedar.
    #[arg(long, value_name = "FILE")]
    old_cedar: Option<PathBuf>,
}

pub(crate) fn run(shared: &Shared, args: &DiffArgs) -> Done<ExitCode> {
    let home = shared.home()?;
    let (old, new) = match &args.new {
        Some(new) => (args.old.clone(), new.clone()),
        None if std::path::Path::new(&args.old).is_file() => {
            return Err(Failure::usage("a file has to be compared with something")
                .help("marque policy diff OLD NEW; or the name of an agent alone"));
        }
        None => (format!("{}@adopted", args.old), args.old.clone()),
    };
    // Each side has its own: what is forbidden on one must not hide what is not on the other.
    let DiffArgs { owner, cedar, old_owner, old_cedar, .. } = args.clone();
    let old =
        Named::find(&home, &old, &Companions { owner: old_owner, cedar: old_cedar, side: "old-" })?;
    let new = Named::find(&home, &new, &Companions { owner, cedar, side: "" })?;
    let diff = diff(&old.policy, &new.policy);
    if shared.json {
        let side = |named: &Named| {
            serde_json::json!({
                "policy": named.label, "version": named.policy.version, "hash": named.policy.hash,
            })
        };
        say!(
            "{}",
            serde_json::json!({
                "old": side(&old), "new": side(&new),
                "wider": diff.is_wider(), "changes": diff.changes,
            })
        );
    } else {
        say!("{} (version {})", old.label, old.policy.version);
        say!("  -> {} (version {})", new.label, new.policy.version);
        print(&diff);
    }
    if args.never_wider && diff.is_wider() {
        return Err(Failure::refused(format!("{} is wider", new.label))
            .help("make it as strict where it says so above, or adopt it knowingly"));
    }
    Ok(ExitCode::SUCCESS)
}

/// What an adoption changes, shortly: a line for all of it, and one for each change that permits
/// more.
pub(crate) fn summary(diff: &Diff) -> Vec<String> {
    let count = |direction| diff.changes.iter().filter(|it| it.direction == direction).count();
    let counts = [
        ("wider", count(Direction::Wider)),
        ("different", count(Direction::Different)),
        ("narrower", count(Direction::Narrower)),
    ];
    if diff.changes.is_empty() {
        return vec!["it permits what the policy in force permits".to_owned()];
    }
    let some = counts.iter().filter(|(_, count)| *count > 0);
    let some = some.map(|(word, count)| match count {
        1 => format!("{word} in 1 place"),
        count => format!("{word} in {count} places"),
    });
    let some = some.collect::<Vec<_>>().join(", ");
    let mut lines = vec![format!("against the policy in force it is {some}")];
    let looser = diff.changes.iter().filter(|it| it.direction != Direction::Narrower);
    lines.extend(looser.map(|change| {
        let word = match change.direction {
            Direction::Wider => "WIDER",
            Direction::Different | Direction::Narrower => "DIFFERENT",
        };
        format!("  {word}  {}: {}", change.subject, change.said)
    }));
    lines
}
