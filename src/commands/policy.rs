//! `marque policy`: what an owner wrote, made, checked, read back, compared and put in force.

mod address;
mod adopt;
mod case;
mod compare;
mod create;
mod draft;
mod replay;

pub(crate) use address::{account as account_address, owner as owner_address};
pub(crate) use adopt::chain_of;
pub(crate) use create::{Answers, kinds, params};
pub(crate) use draft::{Companions, Named, draft_of, unknown};

use super::Shared;
use crate::{
    failure::{Context as _, Done, Failure},
    story::{odd, print, say},
};
use clap::Subcommand;

use marque_policies::{
    Sources, TestResult, owner_schema, policy_schema, read_aloud, render_table, run_tests,
};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Write a policy to start from, after a few questions; each has an option.
    New(create::NewArgs),
    /// Report every mistake with its line and how to mend it, warn, and run the policy's own tests.
    Check(PolicyArgs),
    /// Run the policy's own tests; those that fail show the whole table of rules.
    Test(PolicyArgs),
    /// Read a policy aloud; with a CASE, say what it would answer, rule by rule.
    ///
    /// A case is written as in a [[test]]:
    ///
    ///   marque policy explain scout "pay 0.30 USDC to feed" --given "paid 0.40 USDC to feed 5h ago"
    ///
    /// It ends with 0 whatever the answer is, unless --exit-code is given.
    #[command(verbatim_doc_comment)]
    Explain(ExplainArgs),
    /// Say where a new policy is wider, narrower or different than an old one, with examples.
    ///
    /// marque policy diff scout: what is in force for scout, against its draft. Between two files
    /// each has its own companions: --old-owner and --old-cedar go with OLD, --owner and --cedar
    /// with NEW; what is not given is not there.
    Diff(compare::DiffArgs),
    /// Run a new policy over the journal's own history: which decisions would have been others, by
    /// which rule, and the money involved.
    ///
    ///   marque policy replay scout --since 30d
    ///
    /// Every decision since then goes through the same step again, with the new policy in force.
    /// What it would have stopped was not spent, so later windows are emptier: that is what would
    /// have happened. With --as-spent each decision is judged on the ledger as it really was
    /// instead, which tells how the rule itself bears on single payments. The owner's approvals and
    /// denials count under the new policy as well; what the owner was never asked counts as not
    /// approved. A refusal that was repeated within a minute is in the journal once.
    ///
    /// Exit codes: 0 it ran; 3 it would have allowed more, or may have (--never-wider).
    #[command(verbatim_doc_comment)]
    Replay(replay::ReplayArgs),
    /// Print the documents of a policy; with NAME@adopted those that are in force.
    Show(PolicyArgs),
    /// Print the JSON Schema by which editors complete policy.toml or owner.toml, or the Cedar
    /// schema of policy.cedar.
    Schema {
        /// Of which document.
        #[arg(value_enum, default_value = "policy")]
        of: Document,
    },
    /// Sign an agent's policy draft as the owner and put it in force.
    ///
    /// What it changes is shown before the owner's passphrase is asked for.
    Adopt(adopt::AdoptArgs),
}

#[derive(Debug, clap::Args)]
struct PolicyArgs {
    /// A policy file, the name of an agent, or NAME@adopted.
    policy: String,
    #[command(flatten)]
    with: Companions,
}

#[derive(Debug, clap::Args)]
struct ExplainArgs {
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    case: case::Case,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Document {
    /// policy.toml
    Policy,
    /// owner.toml
    Owner,
    /// policy.cedar
    Cedar,
}

pub(crate) async fn run(shared: &Shared, args: Args) -> Done<ExitCode> {
    match args.act {
        Act::New(args) => create::run(shared, args),
        Act::Check(args) => check(shared, &args),
        Act::Test(args) => test(shared, &args),
        Act::Explain(args) => explain(shared, args),
        Act::Diff(args) => compare::run(shared, &args),
        Act::Replay(args) => replay::run(shared, &args),
        Act::Show(args) => show(shared, &args),
        Act::Schema { of } => schema(of),
        Act::Adopt(args) => adopt::run(shared, &args).await,
    }
}

fn check(shared: &Shared, args: &PolicyArgs) -> Done<ExitCode> {
    let named = shared.policy(&args.policy, &args.with)?;
    let (policy, results) = (&named.policy, run_tests(&named.policy));
    let failed = results.iter().filter(|result| !result.passed).count();
    if shared.json {
        say!(
            "{}",
            serde_json::json!({
                "hash": policy.hash, "version": policy.version, "warnings": named.warnings(),
                "tests": results.len(), "failed": failed,
            })
        );
    } else {
        say!("version {}, hash {}", policy.version, policy.hash);
        // A file of any name may be no agent's draft, and a journal that cannot be read is not asked.
        let in_force = shared.home().and_then(|home| Named::adopted(&home, &args.policy));
        let in_force = in_force.ok().flatten().map(|named| named.policy);
        if let Err(failure) = adopt::raised(policy, in_force.as_ref()) {
            odd(&format!("{}: {}", failure.message, failure.help.unwrap_or_default()));
        }
        tell(&results);
    }
    passed(failed)
}

fn test(shared: &Shared, args: &PolicyArgs) -> Done<ExitCode> {
    let named = shared.policy(&args.policy, &args.with)?;
    let results = run_tests(&named.policy);
    let failed = results.iter().filter(|result| !result.passed).count();
    if shared.json {
        let tests: Vec<_> = results
            .iter()
            .map(|TestResult { name, passed, verdict }| {
                serde_json::json!({
                    "name": name, "passed": passed,
                    "decision": verdict.decision(), "table": verdict,
                })
            })
            .collect();
        say!("{}", serde_json::json!({ "tests": tests, "failed": failed }));
    } else {
        tell(&results);
    }
    passed(failed)
}

/// The tests in a line each, failures with their table.
fn tell(results: &[TestResult]) {
    for result in results {
        say!("  {} {}", if result.passed { "ok    " } else { "FAILED" }, result.name);
        if !result.passed {
            render_table(&result.verdict).lines().for_each(|line| say!("         {line}"));
        }
    }
    if results.is_empty() {
        say!("it has no tests of its own; [[test]] says what you expect of it");
    } else {
        let passed = results.iter().filter(|result| result.passed).count();
        say!("{passed} of {} tests passed", results.len());
    }
}

fn passed(failed: usize) -> Done<ExitCode> {
    match failed {
        0 => Ok(ExitCode::SUCCESS),
        failed => Err(Failure::new(format!("{failed} of the policy's own tests failed"))),
    }
}

fn explain(shared: &Shared, args: ExplainArgs) -> Done<ExitCode> {
    let named = shared.policy(&args.policy.policy, &args.policy.with)?;
    let policy = &named.policy;
    let Some(judged) = args.case.judge(&named)? else {
        let aloud = read_aloud(policy);
        if shared.json {
            let (version, hash) = (policy.version, policy.hash);
            say!("{}", serde_json::json!({ "version": version, "hash": hash, "aloud": aloud }));
        } else {
            print(aloud);
        }
        return Ok(ExitCode::SUCCESS);
    };
    if shared.json {
        say!(
            "{}",
            serde_json::json!({
                "case": judged.when, "version": policy.version, "hash": policy.hash,
                "decision": judged.verdict.decision(), "table": judged.verdict,
            })
        );
    } else {
        print(format_args!("{}: {}", judged.when, render_table(&judged.verdict)));
    }
    Ok(judged.exit_code())
}

fn show(shared: &Shared, args: &PolicyArgs) -> Done<ExitCode> {
    let named = shared.policy(&args.policy, &args.with)?;
    if shared.json {
        let parts = Sources::read(&named.document).map_err(draft::mistake)?;
        say!(
            "{}",
            serde_json::json!({
                "version": named.policy.version, "hash": named.policy.hash,
                "policy": parts.policy, "owner": parts.owner, "cedar": parts.cedar,
            })
        );
    } else {
        print(&named.document);
    }
    Ok(ExitCode::SUCCESS)
}

fn schema(of: Document) -> Done<ExitCode> {
    let schema = match of {
        Document::Policy => policy_schema(),
        Document::Owner => owner_schema(),
        Document::Cedar => {
            print(marque_policies::cedar::SCHEMA);
            return Ok(ExitCode::SUCCESS);
        }
    };
    say!("{}", serde_json::to_string_pretty(&schema).doing("the schema")?);
    Ok(ExitCode::SUCCESS)
}
