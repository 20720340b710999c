//! What is wrong with a policy text, where, and how to mend it.
//!
//! An error stops the policy from being adopted; a warning points at a rule that can never have an
//! effect, or that leaves more open than an owner may think. Both name line and column.

use miette::{Diagnostic, NamedSource, SourceSpan};
use std::{fmt, ops::Range};

/// Why a text is not a policy.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[non_exhaustive]
pub enum PolicyError {
    /// The text is not TOML, or is too long to be a policy.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Syntax(Box<Mistake>),
    /// The text is of a format that this version does not know.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Format(Box<Mistake>),
    /// The text is TOML, but not a policy.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Meaning(Box<Mistake>),
}

/// One mistake in a policy text. `Display` is one line: `policy.toml:12:8: what is wrong`.
#[derive(Clone, Debug, thiserror::Error, Diagnostic)]
#[error("{}:{line}:{column}: {message}", source_code.name())]
pub struct Mistake {
    /// What is wrong, in one line.
    pub message: String,
    /// How to mend it.
    #[help]
    pub help: Option<String>,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Where, in bytes of the text.
    #[label("here")]
    pub span: SourceSpan,
    /// The text, for a report that shows the line.
    #[source_code]
    pub source_code: NamedSource<String>,
}

impl PolicyError {
    /// What is wrong and where.
    #[must_use]
    pub fn mistake(&self) -> &Mistake {
        match self {
            Self::Syntax(mistake) | Self::Format(mistake) | Self::Meaning(mistake) => mistake,
        }
    }

    /// The same error, said of the file with this name.
    #[must_use]
    pub fn in_file(mut self, name: &str) -> Self {
        match &mut self {
            Self::Syntax(mistake) | Self::Format(mistake) | Self::Meaning(mistake) => {
                let text = mistake.source_code.inner().clone();
                mistake.source_code = NamedSource::new(name, text);
            }
        }
        self
    }
}

/// Something in a valid policy that the owner should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// In which document: `owner.toml`, `policy.toml`, `policy.cedar`.
    pub file: &'static str,
    /// What is odd, in one line.
    pub message: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

/// The text that is being read; makes errors and warnings that point into it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    /// What the document is called: `owner.toml`, `policy.toml`, `policy.cedar`.
    pub(crate) file: &'static str,
    /// What it says.
    pub(crate) text: &'a str,
}

impl Source<'_> {
    /// A mistake in what the document says.
    pub(crate) fn meaning(
        self,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> PolicyError {
        PolicyError::Meaning(self.mistake(span, message.into(), Some(help.into())))
    }

    /// A mistake, with its line and column counted out.
    pub(crate) fn mistake(
        self,
        span: Range<usize>,
        message: String,
        help: Option<String>,
    ) -> Box<Mistake> {
        let (line, column) = self.position(span.start);
        Box::new(Mistake {
            message,
            help,
            line,
            column,
            span: span.into(),
            source_code: NamedSource::new(self.file, self.text.to_owned()),
        })
    }

    /// Something odd at this place.
    pub(crate) fn warning(self, span: &Range<usize>, message: String) -> Warning {
        let (line, column) = self.position(span.start);
        Warning { file: self.file, message, line, column }
    }

    fn position(self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        let column = before.get(line_start..).map_or(0, |text| text.chars().count()) + 1;
        (line, column)
    }
}

/// The candidate that was probably meant, if one is close enough.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let reach = (word.chars().count() / 3).max(1) + 1;
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= reach)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance, blind to ASCII case.
fn distance(left: &str, right: &str) -> usize {
    let mut above: Vec<usize> = (0..=right.chars().count()).collect();
    for (row, l) in left.chars().enumerate() {
        let mut diagonal = row;
        let mut beside = row + 1;
        let mut current = Vec::with_capacity(above.len());
        current.push(beside);
        for (r, up) in right.chars().zip(above.iter().skip(1)) {
            let same = l.eq_ignore_ascii_case(&r);
            beside = (diagonal + usize::from(!same)).min(beside + 1).min(up + 1);
            diagonal = *up;
            current.push(beside);
        }
        above = current;
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_recognised_and_another_word_is_not() {
        assert_eq!(did_you_mean("paymnet", ["payment", "day"]), Some("payment"));
        assert_eq!(did_you_mean("Day", ["payment", "day"]), Some("day"));
        assert_eq!(did_you_mean("frequency", ["payment", "day"]), None);
        assert_eq!((distance("kitten", "sitting"), distance("", "abc")), (3, 3));
    }

    #[test]
    fn lines_and_columns_count_characters_from_one() {
        let source = Source { file: "policy.toml", text: "aé\nxy = 1" };
        assert_eq!(source.position(0), (1, 1));
        assert_eq!(source.position(3), (1, 3));
        assert_eq!(source.position(5), (2, 2));
        assert_eq!(source.position(999), (2, 7));
    }
}
