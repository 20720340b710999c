//! `policy.cedar` cut into statements and words, and kept within bounds.
//!
//! Cedar's own parser reads each statement afterwards and has the last word on what it means. This
//! one exists so that every mistake has its line and column in the file, and so that nothing is
//! handed on that is nested or long enough to exhaust a stack. Where the two should ever see a
//! text differently, Cedar meets less or more than one policy in a statement, and that is an error.

use crate::{
    error::{PolicyError, Source},
    hidden::harmless,
    parse::MAX_DOCUMENT,
};
use std::ops::Range;

/// How many statements a file may hold.
pub(super) const MOST_STATEMENTS: usize = 200;
/// How deep brackets may nest.
pub(super) const DEEPEST: usize = 16;
/// How many words and signs a statement may have. It also bounds what nests without brackets:
/// chains of `&&` and of `else if`.
pub(super) const MOST_WORDS: usize = 400;

/// One statement, from its first word or annotation to its `;`.
#[derive(Clone, Debug)]
pub(super) struct Statement<'a> {
    /// What it says.
    pub(super) text: &'a str,
    /// Where it begins, in bytes of the file.
    pub(super) start: usize,
    /// Its words and signs; comments are none.
    pub(super) words: Vec<Word<'a>>,
}

/// One word, number, quoted text or sign.
#[derive(Clone, Debug)]
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    /// Where it stands, in bytes of the file.
    pub(super) span: Range<usize>,
}

impl Statement<'_> {
    /// Where it stands in the file.
    pub(super) fn span(&self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }

    /// The word after the annotations: `forbid`.
    pub(super) fn effect(&self) -> Option<&Word<'_>> {
        let mut words = self.words.iter().peekable();
        while words.next_if(|word| word.text == "@").is_some() {
            words.next()?;
            if words.next_if(|word| word.text == "(").is_some() {
                words.find(|word| word.text == ")")?;
            }
        }
        words.next()
    }

    /// When it applies, as one Cedar expression: each part between the brackets is one already, and
    /// so is each `when`. `None` if it does not read `forbid (.., .., ..) when { .. };`.
    pub(super) fn condition(&self) -> Option<String> {
        let effect = self.effect()?;
        let at = self.words.iter().position(|word| word.span == effect.span)?;
        let (scope, mut rest) = bracketed(self.words.get(at + 1..)?)?;
        let mut parts = Vec::new();
        let mut depth = Depth::default();
        for part in scope.split(|word| depth.after(word) == 0 && word.text == ",") {
            // `principal` alone says nothing.
            if part.len() > 1 {
                parts.push(format!("({})", self.slice(part)?));
            }
        }
        while let [head, after @ ..] = rest {
            if head.text == ";" {
                break;
            }
            let (inside, after) = bracketed(after)?;
            let not = match head.text {
                "when" => "",
                "unless" => "!",
                _ => return None,
            };
            parts.push(format!("{not}({})", self.slice(inside)?));
            rest = after;
        }
        Some(if parts.is_empty() { "true".to_owned() } else { parts.join(" && ") })
    }

    /// The text from the first to the last of some words.
    fn slice(&self, words: &[Word<'_>]) -> Option<&str> {
        let (start, end) = bounds(words);
        self.text.get(start.checked_sub(self.start)?..end.checked_sub(self.start)?)
    }
}

/// How many brackets are open.
#[derive(Debug, Default)]
struct Depth(usize);

impl Depth {
    fn after(&mut self, word: &Word<'_>) -> usize {
        match word.text {
            "(" | "[" | "{" => self.0 += 1,
            ")" | "]" | "}" => self.0 = self.0.saturating_sub(1),
            _ => {}
        }
        self.0
    }
}

/// What stands between the bracket that comes first and the one that closes it, and what follows.
fn bracketed<'s, 'a>(words: &'s [Word<'a>]) -> Option<(&'s [Word<'a>], &'s [Word<'a>])> {
    let mut depth = Depth::default();
    let end = words.iter().position(|word| depth.after(word) == 0)?;
    Some((words.get(1..end)?, words.get(end + 1..)?))
}

/// Cuts a file into its statements.
pub(super) fn statements(source: Source<'_>) -> Result<Vec<Statement<'_>>, PolicyError> {
    let text = source.text;
    if text.len() > MAX_DOCUMENT {
        let message = format!("the text has {} bytes, a policy at most {MAX_DOCUMENT}", text.len());
        return Err(source.meaning(0..0, message, "forbid less, or in fewer words"));
    }
    harmless(source, None)?;
    let mut statements = Vec::new();
    let mut words: Vec<Word<'_>> = Vec::new();
    let mut open: Vec<Word<'_>> = Vec::new();
    for word in words_of(source)? {
        match word.text {
            "(" | "[" | "{" if open.len() == DEEPEST => {
                let message = format!("brackets nest more than {DEEPEST} deep");
                return Err(source.meaning(word.span, message, "write several forbids instead"));
            }
            "(" | "[" | "{" => open.push(word.clone()),
            ")" | "]" | "}" => match open.pop() {
                Some(opening) if closing(opening.text) == word.text => {}
                _ => {
                    let message = format!("this `{}` closes nothing", word.text);
                    return Err(source.meaning(word.span, message, "take it out"));
                }
            },
            ";" if !open.is_empty() => break,
            _ => {}
        }
        if words.len() == MOST_WORDS {
            let message = format!("a forbid of more than {MOST_WORDS} words and signs");
            return Err(source.meaning(word.span, message, "write several forbids instead"));
        }
        let ends = word.text == ";";
        words.push(word);
        if !ends {
            continue;
        }
        let words = std::mem::take(&mut words);
        let (start, end) = bounds(&words);
        let text = text.get(start..end).unwrap_or_default();
        if statements.len() == MOST_STATEMENTS {
            let message = format!("more than {MOST_STATEMENTS} forbids");
            return Err(source.meaning(start..end, message, "join some of them with `||`"));
        }
        statements.push(Statement { text, start, words });
    }
    if let Some(opening) = open.pop() {
        let (message, closing) =
            (format!("this `{}` is never closed", opening.text), closing(opening.text));
        return Err(source.meaning(opening.span, message, format!("close it with `{closing}`")));
    }
    if let Some(first) = words.first() {
        let help = "end it with `;`";
        return Err(source.meaning(first.span.clone(), "this statement does not end", help));
    }
    Ok(statements)
}

fn bounds(words: &[Word<'_>]) -> (usize, usize) {
    let start = words.first().map_or(0, |word| word.span.start);
    (start, words.last().map_or(start, |word| word.span.end))
}

fn closing(opening: &str) -> &'static str {
    match opening {
        "(" => ")",
        "[" => "]",
        _ => "}",
    }
}

fn words_of(source: Source<'_>) -> Result<Vec<Word<'_>>, PolicyError> {
    const PAIRS: [&str; 7] = ["==", "!=", "<=", ">=", "&&", "||", "::"];
    let mut words = Vec::new();
    let mut at = 0;
    while let Some((rest, first)) =
        source.text.get(at..).and_then(|rest| rest.chars().next().map(|first| (rest, first)))
    {
        let length = if first.is_ascii_whitespace() {
            at += 1;
            continue;
        } else if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        } else if first == '"' {
            quoted(rest).ok_or_else(|| {
                let help = "close it with `\"` on the same line";
                source.meaning(at..at + 1, "this text is never closed", help)
            })?
        } else if first.is_ascii_alphanumeric() || first == '_' {
            let more = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let digits = |c: char| c.is_ascii_digit();
            let end = if first.is_ascii_digit() {
                rest.find(|c| !digits(c))
            } else {
                rest.find(|c| !more(c))
            };
            end.unwrap_or(rest.len())
        } else if PAIRS.iter().any(|pair| rest.starts_with(pair)) {
            2
        } else if "@.,;:()[]{}<>+-*/%!=?".contains(first) {
            1
        } else {
            let message = format!("`{}` means nothing here", first.escape_debug());
            let help = "outside of quoted texts and comments there are words, numbers and signs";
            return Err(source.meaning(at..at + first.len_utf8(), message, help));
        };
        let text = rest.get(..length).unwrap_or(rest);
        words.push(Word { text, span: at..at + text.len() });
        at += text.len();
    }
    Ok(words)
}

/// The length of the quoted text at the beginning, quotes included, unless its line ends first.
fn quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            '\n' => return None,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}
