//! `marque steward check`: a home recomputed from its journal.

use crate::{
    commands::Shared,
    failure::{Done, Failure},
    story::{harmless, say},
};
use marque::audit::{Expect, verify};
use marque_steward::{
    Home,
    check::{Part, Standing, check, differs},
};
use std::process::ExitCode;

pub(super) fn run(shared: &Shared) -> Done<ExitCode> {
    let home = Home::open(shared.home()?.path())?;
    if !home.has_journal() {
        return Err(Failure::new("the journal has not begun yet")
            .help("it begins when the owner adopts a policy: marque policy adopt NAME"));
    }
    let mut parts = check(&home)?;
    // Where the entries cannot even be read, there are no acts to look at.
    if parts.iter().any(|part| part.name == "checkpoint" && part.standing == Standing::Good) {
        parts.push(match verify(&home.journal(), &Expect::default()) {
            Ok(report) => Part {
                name: "owner",
                standing: Standing::Good,
                said: format!(
                    "{} acts, each signed by the owner who was in force then; now it is {}",
                    report.acts, report.in_force
                ),
            },
            Err(error) => {
                Part { name: "owner", standing: Standing::Different, said: error.to_string() }
            }
        });
    }
    let different = differs(&parts);
    if shared.json {
        say!("{}", serde_json::json!({ "good": !different, "parts": parts }));
    } else {
        for Part { name, standing, said } in &parts {
            let word = match standing {
                Standing::Good => "ok       ",
                Standing::Different => "DIFFERS  ",
                Standing::Unchecked => "unchecked",
            };
            say!("  {word}  {name:<11} {}", harmless(said));
        }
    }
    if different {
        let wrong = parts.iter().filter(|part| part.standing == Standing::Different);
        let names: Vec<_> = wrong.map(|part| part.name).collect();
        return Err(Failure::new(format!(
            "the home is not what its journal says: {}",
            names.join(", ")
        ))
        .help(
            "what is derived is made anew at the next start; where entries or checkpoint differ, \
                 restore the journal from a copy",
        ));
    }
    Ok(ExitCode::SUCCESS)
}
