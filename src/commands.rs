//! The command line: one file a subcommand, this one for what they share.

mod account;
mod approvals;
mod audit;
mod budget;
mod decide;
mod demo;
mod devnet;
mod digits;
mod doctor;
mod facilitator;
mod freeze;
mod funds;
mod identity;
mod income;
mod mind;
mod models;
mod new;
mod owner;
mod policy;
mod questions;
mod run;
mod sell;
mod status;
mod steward;
mod stop;
mod submit;
mod trust;

use crate::{
    failure::{Context as _, Done, Failure},
    story::{note, print},
};
use clap::{CommandFactory as _, Parser, Subcommand};
use marque::{
    home::{Home, MOST_AGENTS, MOST_ENTRIES, OwnerHome},
    owner::{Heard, Owner},
};
use marque_identity_keys::SecretString;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Agents with their own identity and wallet that can never act outside their owner's policy.
///
/// The mind (model, tools, everything that reads the internet) proposes; the steward (keys,
/// policy, ledger, journal) disposes. First steps: `marque demo`, or `marque devnet` in one
/// terminal and `marque owner init`, `marque new scout` in another.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused by the policy, 4 held for the owner.
#[derive(Debug, Parser)]
#[command(name = "marque", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) shared: Shared,
    #[command(subcommand)]
    command: Command,
}

/// What every subcommand understands.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Shared {
    /// The steward's home: policies, journal, the agents' encrypted keys; else ~/.marque.
    #[arg(
        long,
        global = true,
        help_heading = "Everywhere",
        env = "MARQUE_HOME",
        value_name = "DIR"
    )]
    home: Option<PathBuf>,
    /// Where the owner's encrypted key lives, apart from the home; else ~/.marque-owner.
    #[arg(
        long,
        global = true,
        help_heading = "Everywhere",
        env = "MARQUE_OWNER_HOME",
        value_name = "DIR"
    )]
    owner_home: Option<PathBuf>,
    /// Read the steward's unlock secret from this file descriptor instead of asking.
    #[arg(long, global = true, help_heading = "Everywhere", value_name = "N")]
    unlock_fd: Option<i32>,
    /// Read the owner's passphrase from this file descriptor instead of asking.
    #[arg(long, global = true, help_heading = "Everywhere", value_name = "N")]
    owner_fd: Option<i32>,
    /// Print JSON for scripts instead of text for people; an error is an object on standard error,
    /// with its "code".
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A paid job, a robbery that fails, and the proof of both: the whole story in a minute.
    Demo(demo::Args),
    /// Start a development chain with contracts, a faucet and a small seller.
    ///
    /// marque devnet; a second one with a home of its own: marque devnet --home DIR
    ///
    /// A home is for one chain, and this one is forgotten when it ends. Drafts of marque new in the same
    /// home name it.
    Devnet(devnet::Args),
    /// Look at a set-up, read-only and without keys: endpoints, tokens, contracts, balances.
    ///
    /// marque doctor scout; before the agent is made: marque doctor policy.toml
    ///
    /// Nobody is asked but the policy's own RPC endpoints and, if named, a facilitator. Exit codes: 0
    /// nothing is wrong; 1 something is, or cannot be looked at; 2 wrong usage. What works and deserves a
    /// look, such as few coins or a delegation that is behind the policy, is shown and ends with 0;
    /// marque account status ends with 1 for the latter.
    Doctor(doctor::Args),
    /// Make, take in, back up, restore or replace the owner's key.
    Owner(owner::Args),
    /// Make an agent: home, key, policy draft. With --rust, a project of your own.
    New(new::Args),
    /// Send an agent money from the owner, or from a devnet's faucet.
    Fund(funds::FundArgs),
    /// What an agent holds on chain and has left in its budgets.
    Balance(funds::BalanceArgs),
    /// What is left of every limit, as bars: spent, in flight, left, and when the next bit is free.
    ///
    /// marque budget scout --watch
    ///
    /// The running steward answers, or the journal where none runs.
    Budget(budget::BudgetArgs),
    /// Return an agent's money to its owner.
    Withdraw(funds::WithdrawArgs),
    /// The owner's account on chain, and what agents may draw on it even if their host is stolen.
    ///
    /// marque account deploy scout; then send it money, and marque account delegate scout
    ///
    /// The account holds the money; an agent's key holds a small float and draws on the account within
    /// the limits of its policy, which the chain itself then judges: docs/on-chain-limits.md.
    Account(account::Args),
    /// Show or register an agent's ERC-8004 identity.
    Identity(identity::Args),
    /// Make, check, test, explain, compare and adopt policies.
    ///
    /// POLICY is a policy file, the name of an agent for its draft, or NAME@adopted for what is in
    /// force for it. An agent's draft is agents/NAME/policy.toml in the home, with
    /// agents/NAME/policy.cedar and the home's owner.toml where they exist. A draft counts once its
    /// owner adopts it.
    ///
    /// Exit codes: 0 done; 1 a mistake in a policy or a failed test; 2 wrong usage; 3 wider
    /// (--never-wider) or refused (--exit-code); 4 held (--exit-code).
    Policy(policy::Args),
    /// What is waiting for the owner's decision.
    ///
    /// marque approvals --watch: stay, and see what comes and who decides it.
    ///
    /// marque approvals --hook notify-send -- "An agent asks": run a program for each.
    ///
    /// marque approvals --export FILE: take it to the machine that has the owner's key.
    Approvals(approvals::ListArgs),
    /// Let held intents pass, each once.
    ///
    /// What is approved is shown before the passphrase is asked for: marque approve 0x12ab34cd56ef
    ///
    /// On a machine with the owner's key and no steward, with a file of marque approvals --export:
    /// marque approve 0x12ab34cd56ef --request FILE --out SIGNED. Over SSH, without files:
    /// ssh HOST marque approvals --export - | marque approve 0x12ab34cd56ef --request - --out - |
    /// ssh HOST marque submit -
    Approve(decide::ApproveArgs),
    /// Refuse held intents.
    ///
    /// marque deny 0x12ab34cd56ef; from another machine as with marque approve.
    Deny(decide::DenyArgs),
    /// What agents ask you in their own words.
    ///
    /// A question is no intent, and an answer grants nothing: what an agent may do is decided with
    /// marque approvals, marque approve and the policy.
    Questions(questions::ListArgs),
    /// Answer an agent's question.
    ///
    /// marque answer 3f9a "The harbour of Horta". The agent reads it as your words; nothing is signed.
    Answer(questions::AnswerArgs),
    /// Hand in what the owner signed on another machine.
    ///
    /// marque submit SIGNED: to the running steward, or to the journal where none runs, for which the
    /// steward's unlock secret is asked for. Handed in again, a file changes nothing.
    Submit(submit::Args),
    /// Show, verify, prove, export and compare the journal, offline.
    Audit(audit::Args),
    /// Stop everything now; anyone may.
    Freeze(freeze::FreezeArgs),
    /// Let a frozen steward work again; only the owner can.
    Thaw(freeze::ThawArgs),
    /// Run an agent on a goal with the built-in tools.
    Run(run::Args),
    /// Sell a folder's files, or put a price before a service that is there already.
    ///
    /// marque sell ./data --price "0.01 USDC": each file costs that; the listing is free.
    ///
    /// marque sell http://127.0.0.1:8000 --price "0.002 USDC" --free /health: a reverse proxy that
    /// reaches that service and nothing else.
    ///
    /// Anybody pays who speaks x402, version 2. One payment buys one delivery; a buyer that lost the
    /// connection sends the same again. The agent's policy has [income] and [limits.gas], as
    /// marque new shop --policy seller writes it. See what came in with marque income.
    Sell(sell::Args),
    /// Verify and settle x402 payments for others: POST /verify, POST /settle, GET /supported.
    ///
    /// marque facilitator desk --listen 127.0.0.1:4023
    ///
    /// Money goes where its payer signed and nowhere else; this agent pays the fees, within
    /// [limits.gas], and only by a policy with a section [facilitator].
    Facilitator(facilitator::Args),
    /// What was sold: per resource and payer, in any hour, day and 30 days, and what is not on chain
    /// yet.
    ///
    /// The journal knows the money and not the goods: with --settle before a request that was paid is a
    /// sale also where your service answered with an error. Those the shop notes, and they are told.
    ///
    /// marque income --json for scripts. The journal is read; no steward need run.
    Income(income::Args),
    /// Run a home's steward in the foreground, or install it as a service.
    Steward(steward::Args),
    /// How a home's steward stands: since when, its walls, what waits, what is in flight.
    ///
    /// marque status --json for scripts. Exit codes: 0 a steward runs; 1 none does, and what the
    /// journal says is shown.
    Status(status::Args),
    /// Stop a home's steward in order, and wait for it.
    ///
    /// What it was doing is finished and journalled. What is signed and out stays so: it is named,
    /// and followed again at the next start. marque freeze stops new payments and keeps the steward.
    Stop(stop::Args),
    /// Get model files, look at them, and try this machine: what runs here, how fast, how exactly.
    Models(models::Args),
    /// Print shell completions.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// A mind process; started by a steward, fenced before it does anything.
    #[command(hide = true)]
    Mind(mind::Args),
}

impl Cli {
    /// Whether a script reads what is said.
    pub(crate) const fn json(&self) -> bool {
        self.shared.json
    }
}

/// Runs the command.
pub(crate) fn run(cli: Cli) -> Done<ExitCode> {
    let shared = cli.shared;
    if !matches!(cli.command, Command::Mind(_) | Command::Completions { .. })
        && let Ok(home) = shared.home()
        && home.is_crowded()
    {
        note(&format!(
            "{} holds more than {MOST_AGENTS} agents, or {MOST_ENTRIES} files: not all were looked at; see who \
             made them",
            home.path().join("agents").display()
        ));
    }
    match cli.command {
        // These start processes or fence themselves and bring their own runtime.
        Command::Mind(args) => mind::run(&shared, args),
        Command::Run(args) => run::run(&shared, &args),
        Command::Sell(args) => sell::run(&shared, &args),
        Command::Facilitator(args) => facilitator::run(&shared, &args),
        Command::Income(args) => income::run(&shared, &args),
        Command::Steward(args) => steward::run(&shared, args),
        Command::Questions(args) => questions::list(&shared, &args),
        Command::Answer(args) => questions::answer(&shared, &args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "marque", &mut script);
            print(String::from_utf8_lossy(&script));
            Ok(ExitCode::SUCCESS)
        }
        command => runtime()?.block_on(async {
            match command {
                Command::Demo(args) => demo::run(&shared, args).await,
                Command::Devnet(args) => devnet::run(&shared, args).await,
                Command::Doctor(args) => doctor::run(&shared, &args).await,
                Command::Owner(args) => owner::run(&shared, args).await,
                Command::New(args) => new::run(&shared, &args).await,
                Command::Fund(args) => funds::fund(&shared, &args).await,
                Command::Balance(args) => funds::balance(&shared, &args).await,
                Command::Budget(args) => budget::run(&shared, &args).await,
                Command::Withdraw(args) => funds::withdraw(&shared, &args).await,
                Command::Account(args) => account::run(&shared, args).await,
                Command::Identity(args) => identity::run(&shared, args).await,
                Command::Policy(args) => policy::run(&shared, args).await,
                Command::Approvals(args) => approvals::list(&shared, args).await,
                Command::Approve(args) => decide::approve(&shared, &args).await,
                Command::Deny(args) => decide::deny(&shared, &args).await,
                Command::Submit(args) => submit::run(&shared, &args).await,
                Command::Status(args) => status::run(&shared, &args).await,
                Command::Stop(args) => stop::run(&shared, &args).await,
                Command::Audit(args) => audit::run(&shared, args).await,
                Command::Models(args) => models::run(&shared, args).await,
                Command::Freeze(args) => freeze::freeze(&shared, &args).await,
                Command::Thaw(args) => freeze::thaw(&shared, &args).await,
                Command::Mind(_)
                | Command::Run(_)
                | Command::Sell(_)
                | Command::Facilitator(_)
                | Command::Income(_)
                | Command::Steward(_)
                | Command::Questions(_)
                | Command::Answer(_)
                | Command::Completions { .. } => {
                    Ok(ExitCode::SUCCESS) // handled above
                }
            }
        }),
    }
}

pub(crate) fn runtime() -> Done<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .doing("cannot start the runtime")
}

impl Shared {
    /// The steward's home, which need not exist yet.
    pub(crate) fn home(&self) -> Done<Home> {
        Home::locate(self.home.clone()).map_err(Failure::usage)
    }

    /// The owner's own folder.
    pub(crate) fn owner_home(&self) -> Done<OwnerHome> {
        let owner = OwnerHome::locate(self.owner_home.clone()).map_err(Failure::usage)?;
        let home = self.home()?;
        self.outside(owner.path(), "choose another --owner-home")?;
        let (keys, agents) = (real(owner.path()), real(home.path()));
        if agents.starts_with(&keys) {
            return Err(Failure::usage(format!(
                "the steward's home may not live inside the owner's folder ({})",
                owner.path().display()
            ))
            .help("choose another --home"));
        }
        Ok(owner)
    }

    /// Refuses a place for the owner's key that the steward can read.
    pub(crate) fn outside(&self, place: &Path, help: &str) -> Done {
        let home = self.home()?;
        if real(place).starts_with(real(home.path())) {
            return Err(Failure::usage(format!(
                "the owner's key may not live inside the steward's home ({})",
                home.path().display()
            ))
            .help(help));
        }
        Ok(())
    }

    /// The secret that unlocks the steward's keys.
    pub(crate) fn unlock(&self, confirm: bool) -> Done<SecretString> {
        let text = "Unlock secret of the steward";
        secret(self.unlock_fd, "marque-unlock", text, confirm, "--unlock-fd")
    }

    /// The owner's key, for whoever sends with it: what is on its way is told, as it goes through whether or
    /// not the command is waited for.
    pub(crate) fn sender(&self, folder: &OwnerHome) -> Done<Owner> {
        let mut owner = Owner::unlock(folder, &self.owner_secret(false)?)?;
        owner.tells(match self.json {
            true => |heard| aside(heard),
            false => |heard| {
                if let Heard::Sent(hash) = heard {
                    anstream::eprintln!(
                        "sent {hash}: it may go through even if you end this here; waiting for a block …"
                    );
                }
                aside(heard);
            },
        });
        Ok(owner)
    }

    /// The passphrase of the owner's key.
    pub(crate) fn owner_secret(&self, confirm: bool) -> Done<SecretString> {
        secret(
            self.owner_fd,
            "marque-owner",
            "Passphrase of the owner's key",
            confirm,
            "--owner-fd",
        )
    }
}

impl Shared {
    /// Asks whether to do what was shown. A passphrase that a person types next is the yes; where it
    /// comes from elsewhere, a person is asked, or `yes` says that nobody need be.
    pub(crate) fn confirm(&self, yes: bool, what: &str) -> Done {
        let typed = self.owner_fd.is_none() && std::env::var_os("CREDENTIALS_DIRECTORY").is_none();
        if yes {
            return Ok(());
        }
        if typed {
            anstream::eprintln!("your passphrase will {what}; Ctrl-C does not");
            return Ok(());
        }
        let question = format!("{what}? [y/N] ");
        match ask(&question) {
            Ok(answer) if matches!(answer.trim(), "y" | "Y" | "yes") => Ok(()),
            Ok(_) => Err(Failure::new("nothing was signed")),
            Err(_) => Err(Failure::usage("nobody can be asked here, and nothing was signed")
                .help("add --yes once you know what is signed, or run it on a terminal")),
        }
    }
}

/// A line from the person at the terminal, wherever the standard streams go.
pub(crate) fn ask(question: &str) -> std::io::Result<String> {
    use std::io::{BufRead as _, Write as _};
    let terminal = std::fs::File::options().read(true).write(true).open("/dev/tty")?;
    (&terminal).write_all(question.as_bytes())?;
    let mut answer = String::new();
    std::io::BufReader::new(&terminal).read_line(&mut answer)?;
    Ok(answer)
}

/// A path without links and dots, as far as it exists.
pub(crate) fn real(path: &Path) -> PathBuf {
    let Ok(path) = std::path::absolute(path) else { return path.to_owned() };
    match (path.canonicalize(), path.parent(), path.file_name()) {
        (Ok(real), ..) => real,
        (Err(_), Some(parent), Some(name)) => real(parent).join(name),
        (Err(_), ..) => path,
    }
}

/// What an owner has to know of a transaction besides that it is sent.
fn aside(heard: &Heard) {
    match heard {
        Heard::Overtakes(number) => note(&format!(
            "transaction number {number} of your key still is in no block, and this takes its place: what \
             that one was to do, if it was anything else, is not done"
        )),
        Heard::Passed { host, why } => note(&format!("without {host}: {why}")),
        Heard::Left { number, count, hosts } => {
            let (hosts, say) = (hosts.join(" and "), if hosts.len() > 1 { "say" } else { "says" });
            let what = match count {
                1 => "what was signed for that is".to_owned(),
                more => format!("{more} that were signed for that and more are"),
            };
            note(&format!(
                "{hosts} {say} that your key's next transaction has number {number}, and others say a lower \
                 one: {what} mined, if ever, once your key has sent so many, and then costs a fee and ends \
                 nothing that you delegate until then; name another endpoint instead of {hosts} in the \
                 policy"
            ));
        }
        _ => {}
    }
}

fn secret(
    fd: Option<i32>,
    credential: &str,
    text: &str,
    confirm: bool,
    flag: &str,
) -> Done<SecretString> {
    let text =
        if confirm { format!("{text} (new, 8 characters or more)") } else { text.to_owned() };
    marque::home::secret(fd, credential, &text, confirm).map_err(|error| {
        let short = matches!(error, marque_identity_keys::SecretError::TooShort);
        let failure = Failure::usage(error);
        if short {
            return failure;
        }
        failure.help(format!(
            "run it on a terminal, give {flag} N with N open for reading, or a systemd credential \
             named {credential}"
        ))
    })
}
