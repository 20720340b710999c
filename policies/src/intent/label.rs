//! Labels as people write them, in a policy's tests and on a command line.

use super::Label;
use crate::{host::Host, parse::section::is_word};
use std::{fmt, str::FromStr};

/// How a label is written.
pub(crate) const WRITTEN: &str = "write \"web:HOST\", \"peer:NAME\", \"memory\", \"model\", \"owner\", \
                                  \"policy\" or \"chain\"";

/// A text that is no label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is no label; {WRITTEN}", .0.escape_debug())]
pub struct LabelError(String);

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner => f.write_str("owner"),
            Self::Policy => f.write_str("policy"),
            Self::Chain => f.write_str("chain"),
            Self::Model => f.write_str("model"),
            Self::Memory => f.write_str("memory"),
            Self::Peer(peer) => write!(f, "peer:{peer}"),
            Self::Web(host) => write!(f, "web:{host}"),
        }
    }
}

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let unreadable = || LabelError(text.chars().take(100).collect());
        match (text, text.split_once(':')) {
            ("memory", _) => Ok(Self::Memory),
            ("model", _) => Ok(Self::Model),
            ("owner", _) => Ok(Self::Owner),
            ("policy", _) => Ok(Self::Policy),
            ("chain", _) => Ok(Self::Chain),
            (_, Some(("web", host))) => {
                Host::read(host).map(|host| Self::Web(host.text())).ok_or_else(unreadable)
            }
            (_, Some(("peer", name))) if is_word(name) => Ok(Self::Peer(name.to_owned())),
            _ => Err(unreadable()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_read_as_it_is_written_and_nothing_else_is_one() {
        for text in ["owner", "policy", "chain", "model", "memory", "peer:scout", "web:a.example"] {
            assert_eq!(text.parse::<Label>().unwrap().to_string(), text);
        }
        for text in ["", "web", "web:", "web:https://a.example", "peer:", "peer:a b", "Owner"] {
            let error = text.parse::<Label>().unwrap_err().to_string();
            assert!(error.contains("is no label; write \"web:HOST\""), "{error}");
        }
    }
}
