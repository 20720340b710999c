//! How a command ends when it does not end well: one line that says what, where and how to mend
//! it, and an exit code that a script can tell apart.

use crate::story::harmless;
use alloy_primitives::U256;
use marque::{
    owner::OwnerError,
    process::{LaunchError, Stop},
};
use marque_identity::IdentityError;
use marque_models::ModelError;
use std::{fmt, process::ExitCode};

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What went wrong: one line, lower case, without a full stop.
    pub(crate) message: String,
    /// How to mend it.
    pub(crate) help: Option<String>,
    /// All of that as a picture for a terminal, with the lines that it is about.
    report: Option<String>,
    /// Whether it is that a chain's endpoints do not answer.
    silence: bool,
    /// Whether it is a price that its owner did not want to pay.
    dear: bool,
    /// 1 failure, 2 usage, 3 refused by policy, 4 held for the owner, 130 and 143 stopped.
    pub(crate) code: u8,
}

/// What commands return.
pub(crate) type Done<T = ()> = Result<T, Failure>;

impl Failure {
    /// A plain failure: exit code 1.
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        let message = message.to_string();
        Self { message, help: None, report: None, silence: false, dear: false, code: 1 }
    }

    /// Something that was typed wrong: exit code 2.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self { code: 2, ..Self::new(message) }
    }

    /// Refused by the policy: exit code 3.
    pub(crate) fn refused(message: impl fmt::Display) -> Self {
        Self { code: 3, ..Self::new(message) }
    }

    /// Waiting for the owner: exit code 4.
    pub(crate) fn held(message: impl fmt::Display) -> Self {
        Self { code: 4, ..Self::new(message) }
    }

    /// Stopped by a signal: exit code 130 or 143, as of a process that dies of it.
    pub(crate) fn stopped(stop: Stop) -> Self {
        Self { code: stop.exit_code(), ..Self::new(format_args!("stopped by {stop}")) }
    }

    /// The same failure with a way to mend it.
    #[must_use]
    pub(crate) fn help(mut self, help: impl fmt::Display) -> Self {
        self.help = Some(help.to_string());
        self
    }

    /// The same failure with a picture for a terminal.
    #[must_use]
    pub(crate) fn report(mut self, report: String) -> Self {
        self.report = Some(report);
        self
    }

    /// The same failure with a way to mend it, where it has none yet.
    #[must_use]
    pub(crate) fn or_help(self, help: impl fmt::Display) -> Self {
        if self.help.is_some() || self.report.is_some() { self } else { self.help(help) }
    }

    /// The same failure once more, without its picture.
    pub(crate) fn again(&self) -> Self {
        let (message, help) = (self.message.clone(), self.help.clone());
        Self { message, help, report: None, ..*self }
    }

    /// Whether no endpoint of a chain answered: another one may.
    pub(crate) const fn is_silence(&self) -> bool {
        self.silence
    }

    /// The same failure, whose help names every way out that there is.
    #[must_use]
    pub(crate) const fn settled(mut self) -> Self {
        self.silence = false;
        self
    }

    /// Whether it is a price that its owner did not want to pay, and may.
    pub(crate) const fn is_dear(&self) -> bool {
        self.dear
    }

    /// The message and how to mend it, on one line: for one of several failures.
    pub(crate) fn line(&self) -> String {
        let Self { message, help, .. } = self;
        help.as_ref().map_or_else(|| message.clone(), |help| format!("{message}; {help}"))
    }

    /// The same for scripts, on one line.
    pub(crate) fn json(&self) -> serde_json::Value {
        let Self { message, help, code, .. } = self;
        serde_json::json!({ "error": message, "help": help, "code": code })
    }

    /// The exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(report) = &self.report {
            return write!(f, "{}", report.trim_matches('\n'));
        }
        // Anything that was read may be in it.
        write!(f, "{}", harmless(&self.message))?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {}", harmless(help)),
            None => Ok(()),
        }
    }
}

/// A command line that does not parse: its first line, and the rest as what mends it.
impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        let text = error.render().to_string();
        let text = text.trim().trim_start_matches("error: ");
        let (message, help) = text.split_once('\n').unwrap_or((text, ""));
        let failure = Self::usage(message);
        match help.trim() {
            "" => failure,
            help => failure.help(help),
        }
    }
}

/// Errors of our crates read well as they are.
macro_rules! from {
    ($($error:ty),* $(,)?) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::new(error)
            }
        }
    )*};
}

from!(
    marque::audit::AuditError,
    marque::economy::EconomyError,
    marque::request::RequestError,
    marque_agent_core::AgentError,
    marque_contracts::delegation::DelegationError,
    marque_identity::account::PermissionsError,
    marque_identity_keys::KeyError,
    marque_payments::PaymentError,
    marque_steward_client::ClientError,
);

/// What can be seen before a model is loaded was given wrong: a file that is none, or options that
/// do not suit it. What comes of loading it is a failure.
impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::NotFound(_)
            | ModelError::NotGguf { .. }
            | ModelError::Incomplete { .. }
            | ModelError::NoModel { .. }
            | ModelError::Damaged { .. }
            | ModelError::Options(_) => Self::usage(error),
            error => Self::new(error),
        }
    }
}

impl From<OwnerError> for Failure {
    fn from(error: OwnerError) -> Self {
        match error {
            OwnerError::Chain(error) => error.into(),
            error @ OwnerError::NoKey(_) => Self::new(error)
                .help("make one: marque owner init; or say where it is: --owner-home DIR"),
            error @ OwnerError::Coins { .. } => Self::new(error)
                .help("send it some; on a devnet: marque fund NAME \"0.1 ETH\" --faucet --owner"),
            error @ OwnerError::TooDear { fee, before, .. } => {
                // Twice, as the next block may ask for more.
                let enough = fee.saturating_add(before).saturating_mul(U256::from(2));
                Self { dear: true, ..Self::new(error).help(at_most(enough)) }
            }
            error @ OwnerError::Fee { fee, .. } => {
                let enough = fee.saturating_mul(U256::from(2));
                Self::new(error).help(at_most(enough))
            }
            error => Self::new(error),
        }
    }
}

/// The option that lets something cost more.
fn at_most(enough: U256) -> String {
    let enough = marque_policies::money::format_units(enough, 18);
    format!("let it cost more, in coins of the chain: the same with --most-fee {enough}")
}

impl From<IdentityError> for Failure {
    fn from(error: IdentityError) -> Self {
        let dead = matches!(error, IdentityError::Unreachable { .. });
        let empty = error.lacks_contract();
        let failure = Self { silence: dead, ..Self::new(error) };
        match dead {
            true => failure.help(
                "is the chain up, and does the policy's [chain.NAME] rpc lead to it? marque doctor \
                 looks; a development chain runs while marque devnet does",
            ),
            false if empty => failure.help(
                "is it the right chain, and is a development chain the one that it was, or begun anew? \
                 marque doctor looks",
            ),
            false => failure,
        }
    }
}

impl From<marque_steward::StewardError> for Failure {
    fn from(error: marque_steward::StewardError) -> Self {
        let hint = marque::process::hint(&error);
        Self { help: hint.map(str::to_owned), ..Self::new(error) }
    }
}

impl From<LaunchError> for Failure {
    fn from(LaunchError { message, help, code }: LaunchError) -> Self {
        Self { help, code, ..Self::new(message) }
    }
}

impl From<Failure> for LaunchError {
    fn from(Failure { message, help, code, .. }: Failure) -> Self {
        Self { message, help, code }
    }
}

/// Puts what was being done in front of an error.
pub(crate) trait Context<T> {
    /// `Err(e)` becomes a failure that reads `what: e`.
    fn doing(self, what: impl fmt::Display) -> Done<T>;
}

impl<T, E: fmt::Display> Context<T> for Result<T, E> {
    fn doing(self, what: impl fmt::Display) -> Done<T> {
        self.map_err(|error| Failure::new(format!("{what}: {error}")))
    }
}
