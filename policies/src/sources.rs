//! The documents that make up one policy, and the one text that carries them.
//!
//! An owner writes `policy.toml` for each agent, `owner.toml` for what all agents share, and
//! `policy.cedar` for what is forbidden beyond that; the last two may be left out. The owner's
//! signature, the journal and the socket carry them as one text: the TOML itself where there is
//! nothing else, or the parts one after the other, each behind a line that says its name and its
//! length in bytes, so that no text inside a part can pass for another one.

use crate::{
    error::{PolicyError, Source},
    parse::MAX_DOCUMENT,
};

/// The first line of a text that carries several documents.
const HEAD: &str = "#!marque policy 1";

/// The documents of one policy, as their owner wrote them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// `policy.toml`: what one agent may do.
    pub policy: String,
    /// `owner.toml`: what all agents share.
    pub owner: Option<String>,
    /// `policy.cedar`: what is forbidden beyond that.
    pub cedar: Option<String>,
}

impl Sources {
    /// A policy of one document.
    #[must_use]
    pub fn one(policy: impl Into<String>) -> Self {
        Self { policy: policy.into(), owner: None, cedar: None }
    }

    /// The one text that carries all of them.
    #[must_use]
    pub fn document(&self) -> String {
        if self.is_bare() {
            return self.policy.clone();
        }
        let mut text = format!("{HEAD}\n");
        let parts = [
            ("owner.toml", self.owner.as_ref()),
            ("policy.toml", Some(&self.policy)),
            ("policy.cedar", self.cedar.as_ref()),
        ];
        for (name, part) in parts {
            let Some(part) = part else { continue };
            text.push_str(&format!("#!{name} {}\n{part}\n", part.len()));
        }
        text
    }

    /// Whether there is one part alone, and nobody could take it for several.
    fn is_bare(&self) -> bool {
        self.owner.is_none() && self.cedar.is_none() && !self.policy.starts_with(HEAD)
    }

    /// Refuses documents that no journal entry can hold.
    pub(crate) fn check_size(&self) -> Result<(), PolicyError> {
        check_size(self.document().len())
    }

    /// Takes the one text apart again. Whatever [`Sources::document`] wrote is read as it was.
    ///
    /// # Errors
    /// [`PolicyError::Syntax`] for a text that is too long, or whose parts are not what their
    /// lines say.
    pub fn read(document: &str) -> Result<Self, PolicyError> {
        check_size(document.len())?;
        let Some(mut rest) = document.strip_prefix(HEAD) else {
            return Ok(Self::one(document));
        };
        let mut parts = [("owner.toml", None), ("policy.toml", None), ("policy.cedar", None)];
        rest = rest.strip_prefix('\n').ok_or_else(|| misread("its first line"))?;
        let mut least = 0;
        while !rest.is_empty() {
            let (line, after) = rest.split_once('\n').ok_or_else(|| misread("a part's line"))?;
            let (name, length) = line
                .strip_prefix("#!")
                .and_then(|line| line.split_once(' '))
                .ok_or_else(|| misread("a part's line"))?;
            let length = length
                .parse::<usize>()
                .ok()
                .filter(|number| number.to_string() == length)
                .ok_or_else(|| misread("a part's length"))?;
            // In order and once each, so that one set of documents has one text.
            let place = parts.iter().position(|(known, _)| *known == name);
            let place = place.filter(|place| *place >= least).ok_or_else(|| misread("a part"))?;
            least = place + 1;
            let (part, after) =
                after.split_at_checked(length).ok_or_else(|| misread("a part's length"))?;
            rest = after.strip_prefix('\n').ok_or_else(|| misread("a part's length"))?;
            if let Some((_, found)) = parts.get_mut(place) {
                *found = Some(part.to_owned());
            }
        }
        let [(_, owner), (_, policy), (_, cedar)] = parts;
        let policy = policy.ok_or_else(|| misread("the missing policy.toml"))?;
        let sources = Self { policy, owner, cedar };
        if sources.is_bare() {
            return Err(misread("its single part"));
        }
        Ok(sources)
    }
}

fn check_size(bytes: usize) -> Result<(), PolicyError> {
    if bytes <= MAX_DOCUMENT {
        return Ok(());
    }
    Err(broken(
        format!("the text has {bytes} bytes, a policy at most {MAX_DOCUMENT}"),
        "list fewer payees, tools or tests",
    ))
}

fn misread(what: &str) -> PolicyError {
    broken(
        format!("the documents of this policy cannot be told apart by {what}"),
        "do not edit this text by hand; let `marque policy adopt` make it from its files",
    )
}

fn broken(message: String, help: &str) -> PolicyError {
    PolicyError::Syntax(Source { file: "policy", text: "" }.mistake(
        0..0,
        message,
        Some(help.to_owned()),
    ))
}

#[cfg(test)]
mod tests {
    use super::Sources;

    #[test]
    fn documents_are_read_back_as_they_were() {
        let nasty = "#!policy.cedar 3\nabc\n#!marque policy 1\n";
        let disguised =
            Sources::one(Sources { cedar: Some(nasty.to_owned()), ..Sources::one("a") }.document());
        assert_eq!(Sources::read(&disguised.document()).unwrap(), disguised);
        for owner in [None, Some(""), Some(nasty), Some("a\né")] {
            for cedar in [None, Some(""), Some(nasty)] {
                let sources = Sources {
                    policy: format!("x = 1\n{nasty}"),
                    owner: owner.map(str::to_owned),
                    cedar: cedar.map(str::to_owned),
                };
                assert_eq!(Sources::read(&sources.document()).unwrap(), sources);
            }
        }
    }

    #[test]
    fn one_set_of_documents_has_one_text() {
        for text in [
            "#!marque policy 1",
            "#!marque policy 1\n",
            "#!marque policy 1\n#!policy.toml 1\na\n",
            "#!marque policy 1\n#!policy.cedar 1\na\n",
            "#!marque policy 1\n#!policy.toml 1\na\n#!owner.toml 1\nb\n",
            "#!marque policy 1\n#!policy.toml 01\na\n#!policy.cedar 1\nb\n",
            "#!marque policy 1\n#!policy.toml 2\na\n#!policy.cedar 1\nb\n",
            "#!marque policy 1\n#!policy.toml 1\na\n#!policy.cedar 9\nb\n",
            "#!marque policy 1\n#!policy.toml 1\na\n#!policy.toml 1\nb\n",
            "#!marque policy 1\n#!policy.toml 1\na\n#!else 1\nb\n",
        ] {
            assert!(Sources::read(text).is_err(), "{text}");
        }
    }
}
