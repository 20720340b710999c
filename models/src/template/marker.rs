//! What a template is shown in place of texts that came from outside, and the way back.
//!
//! A marker is nine private-use characters or more: an opening one, seven digits, what was done to
//! the text, a closing one. No character of it is a letter, a space or an ASCII sign, so a
//! template can compare, join, upper-case and search markers without taking them apart. Trimming
//! and JSON leave a note in the marker, which is carried out on the text later, when no template
//! is near. INVARIANT: a rendering with a piece of a marker in it is an error
//! (`a_template_that_takes_a_text_apart_is_refused`).

use std::borrow::Cow;
use std::collections::HashMap;

const OPEN: char = '\u{e000}';
const CLOSE: char = '\u{e001}';
/// The digits, from 0 on.
const TEN: [char; 10] = [
    '\u{e010}', '\u{e011}', '\u{e012}', '\u{e013}', '\u{e014}', '\u{e015}', '\u{e016}', '\u{e017}',
    '\u{e018}', '\u{e019}',
];
/// Seven, so that a bare marker has nine characters: the length of a call's id where a template
/// insists on one.
const DIGITS: usize = 7;
/// Everything that may be in a marker.
const RESERVED: std::ops::RangeInclusive<char> = OPEN..='\u{e02f}';

/// What a template does to a text without seeing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edit {
    /// Drops white space at the start.
    TrimStart,
    /// Drops white space at the end.
    TrimEnd,
    /// Drops line breaks at the start.
    LinesStart,
    /// Drops line breaks at the end.
    LinesEnd,
    /// Escapes what JSON escapes in a string.
    Json,
    /// Escapes that and everything that is not ASCII.
    AsciiJson,
}

impl Edit {
    const ALL: [Self; 6] = [
        Self::TrimStart,
        Self::TrimEnd,
        Self::LinesStart,
        Self::LinesEnd,
        Self::Json,
        Self::AsciiJson,
    ];

    fn sign(self) -> char {
        match self {
            Self::TrimStart => '\u{e020}',
            Self::TrimEnd => '\u{e021}',
            Self::LinesStart => '\u{e022}',
            Self::LinesEnd => '\u{e023}',
            Self::Json => '\u{e024}',
            Self::AsciiJson => '\u{e025}',
        }
    }

    fn of(sign: char) -> Option<Self> {
        Self::ALL.into_iter().find(|edit| edit.sign() == sign)
    }

    fn apply(self, text: Cow<'_, str>) -> Cow<'_, str> {
        match self {
            Self::TrimStart => part(text, str::trim_start),
            Self::TrimEnd => part(text, str::trim_end),
            Self::LinesStart => part(text, without_first_lines),
            Self::LinesEnd => part(text, without_last_lines),
            Self::Json => Cow::Owned(escaped(&text, false)),
            Self::AsciiJson => Cow::Owned(escaped(&text, true)),
        }
    }
}

fn part(text: Cow<'_, str>, of: fn(&str) -> &str) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(of(text)),
        Cow::Owned(text) => Cow::Owned(of(&text).to_owned()),
    }
}

fn without_first_lines(text: &str) -> &str {
    text.trim_start_matches('\n')
}

fn without_last_lines(text: &str) -> &str {
    text.trim_end_matches('\n')
}

/// A text as it stands between the quotes of a JSON string.
pub(crate) fn escaped(text: &str, ascii: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            '\u{8}' => escaped.push_str("\\b"),
            '\u{c}' => escaped.push_str("\\f"),
            control if control < ' ' || (ascii && !control.is_ascii()) => {
                for unit in control.encode_utf16(&mut [0; 2]) {
                    escaped.push_str(&format!("\\u{unit:04x}"));
                }
            }
            plain => escaped.push(plain),
        }
    }
    escaped
}

/// A part of a rendered prompt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Text of the template, which may name control tokens.
    Literal(String),
    /// Text from outside, which may not.
    Outside {
        /// The text.
        text: Cow<'a, str>,
        /// Whether all conversations with these tools and system messages have it in common.
        shared: bool,
    },
}

/// The texts of one conversation, and which of them a rendering has to show.
#[derive(Debug, Default)]
pub(crate) struct Texts<'a> {
    slots: Vec<Slot<'a>>,
    /// Texts that have one marker wherever they stand, so that a template may compare them.
    known: HashMap<(bool, Cow<'a, str>), usize>,
}

#[derive(Debug)]
struct Slot<'a> {
    text: Cow<'a, str>,
    shared: bool,
    /// What is missing where the text does not show.
    needed: Option<String>,
}

impl<'a> Texts<'a> {
    /// A marker for a text that the rendering has to show; nothing for an empty one.
    pub(crate) fn needed(
        &mut self,
        text: impl Into<Cow<'a, str>>,
        shared: bool,
        what: impl FnOnce() -> String,
    ) -> String {
        let text = text.into();
        if text.is_empty() {
            return String::new();
        }
        self.add(Slot { text, shared, needed: Some(what()) })
    }

    /// A marker for a text that the template may leave out; nothing for an empty one.
    pub(crate) fn optional(&mut self, text: impl Into<Cow<'a, str>>, shared: bool) -> String {
        let text = text.into();
        if text.is_empty() {
            return String::new();
        }
        self.add(Slot { text, shared, needed: None })
    }

    /// As [`Texts::optional`], with the same marker for the same text.
    pub(crate) fn name(&mut self, text: impl Into<Cow<'a, str>>, shared: bool) -> String {
        let text = text.into();
        if text.is_empty() {
            return String::new();
        }
        if let Some(slot) = self.known.get(&(shared, text.clone())) {
            return marker(*slot);
        }
        self.known.insert((shared, text.clone()), self.slots.len());
        self.optional(text, shared)
    }

    fn add(&mut self, slot: Slot<'a>) -> String {
        self.slots.push(slot);
        marker(self.slots.len().saturating_sub(1))
    }

    /// Puts the texts back into a rendering.
    ///
    /// # Errors
    /// Words about a text that had to show and does not, or that was taken apart.
    pub(crate) fn cut(&self, rendering: &str) -> Result<Vec<Piece<'a>>, String> {
        let mut pieces = Vec::new();
        let mut shown = vec![false; self.slots.len()];
        let mut rest = rendering;
        while let Some((before, inside)) = rest.split_once(OPEN) {
            literal(before, &mut pieces)?;
            let (inside, after) = inside.split_once(CLOSE).ok_or_else(torn)?;
            let (slot, edits) = read(inside).ok_or_else(torn)?;
            let found = self.slots.get(slot).ok_or_else(torn)?;
            if let Some(shown) = shown.get_mut(slot) {
                *shown = true;
            }
            let text = edits.into_iter().fold(found.text.clone(), |text, edit| edit.apply(text));
            pieces.push(Piece::Outside { text, shared: found.shared });
            rest = after;
        }
        literal(rest, &mut pieces)?;
        let missing = self.slots.iter().zip(shown).filter(|(_, shown)| !shown);
        match missing.filter_map(|(slot, _)| slot.needed.as_ref()).next() {
            Some(what) => Err(format!("it leaves out {what}")),
            None => Ok(pieces),
        }
    }
}

fn literal(text: &str, pieces: &mut Vec<Piece<'_>>) -> Result<(), String> {
    if text.contains(|character| RESERVED.contains(&character)) {
        return Err(torn());
    }
    if !text.is_empty() {
        pieces.push(Piece::Literal(text.to_owned()));
    }
    Ok(())
}

fn torn() -> String {
    "it takes a text apart that it should only place".to_owned()
}

fn marker(slot: usize) -> String {
    let decimal = format!("{slot:0DIGITS$}");
    let digits = decimal.bytes().filter_map(|digit| TEN.get(usize::from(digit.wrapping_sub(b'0'))));
    [OPEN].iter().chain(digits).chain(&[CLOSE]).collect()
}

/// The slot and the edits of what stands between the ends of a marker.
fn read(inside: &str) -> Option<(usize, Vec<Edit>)> {
    let mut characters = inside.chars();
    let mut slot = 0_usize;
    for _ in 0..DIGITS {
        let sign = characters.next()?;
        let digit = TEN.iter().position(|digit| *digit == sign)?;
        slot = slot.checked_mul(10)?.checked_add(digit)?;
    }
    let edits = characters.map(Edit::of).collect::<Option<Vec<_>>>()?;
    Some((slot, edits))
}

/// Notes an edit in the marker that a text of the template begins with, if it does.
pub(crate) fn edit_first(text: &str, edit: Edit) -> String {
    match text.split_once(CLOSE) {
        Some((inside, after)) if inside.starts_with(OPEN) => {
            format!("{inside}{}{CLOSE}{after}", edit.sign())
        }
        _ => text.to_owned(),
    }
}

/// Notes an edit in the marker that a text of the template ends with, if it does.
pub(crate) fn edit_last(text: &str, edit: Edit) -> String {
    match text.strip_suffix(CLOSE) {
        Some(inside) => format!("{inside}{}{CLOSE}", edit.sign()),
        None => text.to_owned(),
    }
}

/// The text of the template with `of` done to its own parts, and `edit` noted in its markers.
pub(crate) fn edit_all(text: &str, edit: Edit, of: impl Fn(&str) -> String) -> String {
    let mut edited = String::with_capacity(text.len());
    for part in text.split_inclusive(CLOSE) {
        match part.strip_suffix(CLOSE).and_then(|part| part.split_once(OPEN)) {
            Some((before, inside)) => {
                edited.push_str(&of(before));
                edited.extend([OPEN]);
                edited.push_str(inside);
                edited.extend([edit.sign(), CLOSE]);
            }
            None => edited.push_str(&of(part)),
        }
    }
    edited
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(texts: &Texts<'_>, rendering: &str) -> Result<String, String> {
        let pieces = texts.cut(rendering)?;
        let texts = pieces.iter().map(|piece| match piece {
            Piece::Literal(text) => text.as_str(),
            Piece::Outside { text, .. } => text.as_ref(),
        });
        Ok(texts.collect())
    }

    #[test]
    fn what_is_done_to_a_marker_is_done_to_its_text() {
        let mut texts = Texts::default();
        let mark = texts.needed("\n \"é\"\n", false, String::new);
        assert_eq!(mark.chars().count(), 9);
        for (edited, expected) in [
            (edit_first(&mark, Edit::TrimStart), "\"é\"\n"),
            (edit_last(&mark, Edit::TrimEnd), "\n \"é\""),
            (edit_first(&edit_last(&mark, Edit::LinesEnd), Edit::LinesStart), " \"é\""),
            (edit_all(&mark, Edit::Json, str::to_owned), "\\n \\\"é\\\"\\n"),
            (edit_all(&mark, Edit::AsciiJson, str::to_owned), "\\n \\\"\\u00e9\\\"\\n"),
        ] {
            assert_eq!(shown(&texts, &edited).unwrap(), expected);
        }
        let twice = edit_all(&edit_last(&mark, Edit::TrimEnd), Edit::Json, str::to_owned);
        assert_eq!(
            shown(&texts, &format!("<{twice}|{mark}>")).unwrap(),
            "<\\n \\\"é\\\"|\n \"é\"\n>"
        );
    }

    #[test]
    fn json_escapes_are_those_of_a_json_writer() {
        for text in ["", "a\"b\\c\n\r\t\u{8}\u{c}\u{1}\u{1f}", "é😀\u{7f}\u{2028}"] {
            let quoted = format!("\"{}\"", escaped(text, false));
            assert_eq!(quoted, serde_json::to_string(text).unwrap());
            let quoted = format!("\"{}\"", escaped(text, true));
            assert!(quoted.is_ascii());
            assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text);
        }
    }

    #[test]
    fn names_have_one_marker_and_other_texts_one_each() {
        let mut texts = Texts::default();
        assert_eq!(texts.name("a", true), texts.name("a", true));
        assert_ne!(texts.name("a", true), texts.name("a", false));
        assert_ne!(texts.optional("a", true), texts.optional("a", true));
        assert_eq!(texts.optional("", true), "");
    }

    #[test]
    fn a_torn_marker_or_one_of_nobody_is_an_error() {
        let mut texts = Texts::default();
        let mark = texts.needed("text", false, || "message 1".to_owned());
        assert_eq!(shown(&texts, "nothing").unwrap_err(), "it leaves out message 1");
        let characters: Vec<char> = mark.chars().collect();
        for torn in [
            characters[..5].iter().collect::<String>(),
            characters[3..].iter().collect(),
            characters.iter().rev().collect(),
            marker(1),
        ] {
            assert!(
                shown(&texts, &format!("{mark} {torn}")).unwrap_err().contains("apart"),
                "{torn:?}"
            );
        }
    }
}
