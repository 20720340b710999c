//! `marque policy explain POLICY CASE`: what a policy says to one proposal, rule by rule.
//!
//! A case is written as in a `[[test]]`: the command line has an option for each of its keys, and
//! the same reader reads it.

use super::draft::Named;
use crate::failure::{Done, Failure};
use marque_policies::{Decision, Verdict, document::PolicyTest, parse::case, trial::try_out};
use std::process::ExitCode;
use toml::{Table, Value};

/// A proposal and what came before, in the words of a `[[test]]`.
#[derive(Debug, clap::Args)]
pub(crate) struct Case {
    /// What is proposed: "pay 0.30 USDC to feed", "use fetch_data to GET feed.example",
    /// "collect 1 USDC", "return 1 USDC".
    #[arg(value_name = "CASE")]
    when: Option<String>,
    /// What came before: "paid 0.40 USDC to feed 5h ago". May be given several times.
    #[arg(long, value_name = "PAST", requires = "when")]
    given: Vec<String>,
    /// When in the week, UTC: "sat 03:00"; else Monday noon.
    #[arg(long, value_name = "TIME", requires = "when")]
    at: Option<String>,
    /// The sub-agent that proposes; else the agent itself.
    #[arg(long = "as", value_name = "SUBAGENT", requires = "when")]
    sub_agent: Option<String>,
    /// The task that it belongs to.
    #[arg(long, value_name = "NAME", requires = "when")]
    task: Option<String>,
    /// The host that asks for the money; else the payee's own.
    #[arg(long, value_name = "HOST", requires = "when")]
    asked_by: Option<String>,
    /// Where the terms came from: "web:HOST", "peer:NAME", "memory", "model". May be given several
    /// times.
    #[arg(long = "label", value_name = "LABEL", requires = "when")]
    labels: Vec<String>,
    /// As if the owner had just approved it.
    #[arg(long, requires = "when")]
    approved: bool,
    /// End with 3 where it is refused and with 4 where it is held, instead of 0.
    #[arg(long, requires = "when")]
    exit_code: bool,
}

/// A case that was judged.
#[derive(Debug)]
pub(crate) struct Judged {
    /// In the words that it was given in.
    pub(crate) when: String,
    /// Every rule's answer.
    pub(crate) verdict: Verdict,
    exit_code: bool,
}

impl Case {
    /// Judges the case, if one was given.
    pub(crate) fn judge(self, named: &Named) -> Done<Option<Judged>> {
        let exit_code = self.exit_code;
        let Some(when) = self.when.clone() else { return Ok(None) };
        let test = self.read(named, &when)?;
        Ok(Some(Judged { when, verdict: try_out(&named.policy, &test), exit_code }))
    }

    fn read(self, named: &Named, when: &str) -> Done<PolicyTest> {
        let texts =
            |texts: Vec<String>| Value::Array(texts.into_iter().map(Value::String).collect());
        // Nothing is expected, so that a stranger may be named as well.
        let then = match when.split(' ').next() {
            Some("pay") => "refused by payee.known",
            Some("use") => "refused by tool.known",
            _ => "allowed",
        };
        let mut table = Table::new();
        table.insert("when".to_owned(), when.into());
        table.insert("then".to_owned(), then.into());
        table.insert("given".to_owned(), texts(self.given));
        for (key, value) in [
            ("at", self.at),
            ("as", self.sub_agent),
            ("task", self.task),
            ("asked_by", self.asked_by),
        ] {
            if let Some(value) = value {
                table.insert(key.to_owned(), Value::String(value));
            }
        }
        if !self.labels.is_empty() {
            table.insert("labels".to_owned(), texts(self.labels));
        }
        if self.approved {
            table.insert("approved".to_owned(), Value::Boolean(true));
        }
        case(&named.policy, &table.to_string()).map_err(|error| {
            let mistake = error.mistake();
            let failure = Failure::usage(&mistake.message);
            match &mistake.help {
                Some(help) => failure.help(help),
                None => failure,
            }
        })
    }
}

impl Judged {
    /// 0, or what the verdict comes to where that was asked for.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self.verdict.decision() {
            Decision::Refuse if self.exit_code => ExitCode::from(3),
            Decision::Hold if self.exit_code => ExitCode::from(4),
            _ => ExitCode::SUCCESS,
        }
    }
}
