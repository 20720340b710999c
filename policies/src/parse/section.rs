//! Typed reading of a TOML table whose keys and values know where they are written.

use super::keys;
use crate::error::{PolicyError, Source, did_you_mean};
use alloy_primitives::Address;
use std::ops::Range;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Names that would read as something else in a rule or a sentence.
const RESERVED: [&str; 8] = ["all", "any", "gas", "known", "nobody", "none", "owner", "self"];

/// A table, what it is called in messages, and where it begins.
#[derive(Clone, Debug)]
pub(super) struct Section<'a> {
    pub(super) source: Source<'a>,
    pub(super) path: String,
    pub(super) span: Range<usize>,
    table: &'a DeTable<'a>,
    /// The whole document: its tables are called by their own names alone.
    root: bool,
}

/// A value and where it is written.
#[derive(Clone, Debug)]
pub(super) struct Found<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

/// A name that the document gives to something.
pub(super) type Name<'a> = Found<&'a str>;

/// A value of any kind.
pub(super) type Value<'a> = Found<&'a DeValue<'a>>;

impl<'a> Section<'a> {
    /// A whole document, called so in messages.
    pub(super) fn root(source: Source<'a>, called: &str, table: &'a DeTable<'a>) -> Self {
        Self { source, path: called.to_owned(), span: 0..0, table, root: true }
    }

    fn new(
        source: Source<'a>,
        path: String,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Result<Self, PolicyError> {
        match value.get_ref() {
            DeValue::Table(table) => {
                Ok(Self { source, path, span: value.span(), table, root: false })
            }
            other => Err(source.meaning(
                value.span(),
                format!("{path} is {}, not a table", kind(other)),
                format!("write it as `[{path}]` with its keys below"),
            )),
        }
    }

    /// Refuses keys that are not in the list.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), PolicyError> {
        for (key, _) in self.table.iter() {
            let word: &str = key.get_ref();
            if known.contains(&word) {
                continue;
            }
            let help = match did_you_mean(word, known.iter().copied()) {
                _ if !self.root && keys::HEAD.contains(&word) => self.belongs_above(word),
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            let message = format!("unknown key \"{}\" in {}", word.escape_debug(), self.path);
            return Err(self.source.meaning(key.span(), message, help));
        }
        Ok(())
    }

    /// Where a key of the document stands that was written into a section.
    fn belongs_above(&self, key: &str) -> String {
        let elsewhere = self.source.file == "owner.toml" && !keys::OWNER_DOCUMENT.contains(&key);
        let place = if elsewhere { " of policy.toml" } else { "" };
        format!("`{key}` stands above the first section{place}")
    }

    /// The mistake of a key that must be there and is not.
    pub(super) fn missing(&self, key: &str, help: &str) -> PolicyError {
        self.source.meaning(self.span.clone(), format!("{} has no `{key}`", self.path), help)
    }

    /// A mistake in what a key says.
    pub(super) fn mistake(
        &self,
        key: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> PolicyError {
        self.source.meaning(self.span_of(key), message, help)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Where the value of a key is written; the section itself if the key is not there.
    pub(super) fn span_of(&self, key: &str) -> Range<usize> {
        self.table.get(key).map_or_else(|| self.span.clone(), Spanned::span)
    }

    /// Where a key itself is written; the section itself if the key is not there.
    pub(super) fn key_span(&self, key: &str) -> Range<usize> {
        let found = self.table.get_key_value(key);
        found.map_or_else(|| self.span.clone(), |(key, _)| key.span())
    }

    pub(super) fn is_table(&self, key: &str) -> bool {
        self.table.get(key).is_some_and(|value| value.get_ref().is_table())
    }

    /// The table under `key`.
    pub(super) fn section(&self, key: &str) -> Result<Option<Self>, PolicyError> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        let path = if self.root { key.to_owned() } else { format!("{}.{key}", self.path) };
        Self::new(self.source, path, value).map(Some)
    }

    /// The tables in this one, by the names that the document gives them.
    pub(super) fn named(&self) -> Result<Vec<(Name<'a>, Self)>, PolicyError> {
        let entries = self.table.iter().map(|(key, value)| {
            let name = Found { value: key.get_ref().as_ref(), span: key.span() };
            let path = format!("{}.{}", self.path, name.value.escape_debug());
            Ok((name, Self::new(self.source, path, value)?))
        });
        entries.collect()
    }

    /// The tables of a list `[[key]]`.
    pub(super) fn list(&self, key: &str) -> Result<Vec<Self>, PolicyError> {
        let Some(value) = self.table.get(key) else { return Ok(Vec::new()) };
        let DeValue::Array(values) = value.get_ref() else {
            let message = format!("{key} is {}, not a list of tables", kind(value.get_ref()));
            let help = format!("write `[[{key}]]`, with two brackets on each side");
            return Err(self.source.meaning(value.span(), message, help));
        };
        values.iter().map(|value| Self::new(self.source, key.to_owned(), value)).collect()
    }

    /// Whatever is under `key`.
    pub(super) fn value(&self, key: &str) -> Option<Value<'a>> {
        let value = self.table.get(key)?;
        Some(Found { value: value.get_ref(), span: value.span() })
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<Found<&'a str>>, PolicyError> {
        self.value(key).map(|value| self.as_text(key, value)).transpose()
    }

    /// A list of values of any kind.
    pub(super) fn values(&self, key: &str) -> Result<Option<Vec<Value<'a>>>, PolicyError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let DeValue::Array(values) = value.value else {
            let message = format!("`{key}` is {}, not a list", kind(value.value));
            let help = format!("write it in brackets: {key} = [\"..\"]");
            return Err(self.source.meaning(value.span, message, help));
        };
        let values = values.iter();
        Ok(Some(values.map(|value| Found { value: value.get_ref(), span: value.span() }).collect()))
    }

    /// A list of texts.
    pub(super) fn texts(&self, key: &str) -> Result<Option<Vec<Found<&'a str>>>, PolicyError> {
        let Some(values) = self.values(key)? else { return Ok(None) };
        values.into_iter().map(|value| self.as_text(key, value)).collect::<Result<_, _>>().map(Some)
    }

    /// A list of texts of which none may be there twice.
    pub(super) fn distinct_texts(&self, key: &str) -> Result<Vec<Found<&'a str>>, PolicyError> {
        let texts = self.texts(key)?.unwrap_or_default();
        for (at, text) in texts.iter().enumerate() {
            if texts.iter().take(at).any(|other| other.value == text.value) {
                return Err(self.twice(key, text.span.clone(), text.value));
            }
        }
        Ok(texts)
    }

    /// The mistake of something that a list holds twice.
    pub(super) fn twice(&self, key: &str, span: Range<usize>, text: &str) -> PolicyError {
        let message = format!("`{key}` has \"{}\" twice", text.escape_debug());
        self.source.meaning(span, message, "write it once")
    }

    pub(super) fn integer(&self, key: &str) -> Result<Option<Found<u64>>, PolicyError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let number = match value.value {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let number = number.ok_or_else(|| self.no_number(key, &value))?;
        Ok(Some(Found { value: number, span: value.span }))
    }

    /// A whole number that may be negative.
    pub(super) fn signed(&self, key: &str) -> Result<Option<i64>, PolicyError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        as_signed(value.value).map(Some).ok_or_else(|| self.no_number(key, &value))
    }

    fn no_number(&self, key: &str, value: &Value<'_>) -> PolicyError {
        let message = match value.value {
            DeValue::Integer(_) => format!("`{key}` is out of range"),
            other => format!("`{key}` is {}, not a whole number", kind(other)),
        };
        let written = match value.value {
            DeValue::String(text) => text.trim().parse::<i64>().ok(),
            _ => None,
        };
        let help = format!("write it bare: {key} = {}", written.unwrap_or(1));
        self.source.meaning(value.span.clone(), message, help)
    }

    /// True or false; false where the key is not there.
    pub(super) fn flag(&self, key: &str) -> Result<bool, PolicyError> {
        match self.value(key) {
            None => Ok(false),
            Some(Found { value: DeValue::Boolean(flag), .. }) => Ok(*flag),
            Some(Found { value, span }) => {
                let message = format!("`{key}` is {}, not true or false", kind(value));
                Err(self.source.meaning(span, message, format!("write it bare: {key} = true")))
            }
        }
    }

    /// An address of 20 bytes.
    pub(super) fn address(&self, key: &str) -> Result<Option<Address>, PolicyError> {
        let text = self.text(key)?;
        text.map(|text| address(self.source, &format!("`{key}`"), &text)).transpose()
    }

    fn as_text(&self, key: &str, value: Value<'a>) -> Result<Found<&'a str>, PolicyError> {
        match value.value {
            DeValue::String(text) => Ok(Found { value: text, span: value.span }),
            other => Err(self.source.meaning(
                value.span,
                format!("`{key}` is {}, not a text", kind(other)),
                "write it in quotation marks",
            )),
        }
    }
}

/// A whole number of 64 bits, if that is what it is.
pub(super) fn as_signed(value: &DeValue<'_>) -> Option<i64> {
    match value {
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    }
}

/// Reads an address. One in mixed case must have the right EIP-55 checksum, so that a slip of the
/// pen does not send money away.
pub(super) fn address(
    source: Source<'_>,
    called: &str,
    text: &Found<&str>,
) -> Result<Address, PolicyError> {
    let digits = text.value.strip_prefix("0x").unwrap_or_default();
    let mistake =
        |message: String, help: &str| Err(source.meaning(text.span.clone(), message, help));
    let shown = text.value.escape_debug();
    if digits.len() != 40 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        let message = format!("{called} is no address: \"{shown}\"");
        return mistake(message, "an address is 0x and 40 hexadecimal digits");
    }
    let Ok(address) = text.value.parse::<Address>() else {
        return mistake(format!("{called} is no address: \"{shown}\""), "check the digits");
    };
    let mixed = digits.bytes().any(|b| b.is_ascii_uppercase())
        && digits.bytes().any(|b| b.is_ascii_lowercase());
    if mixed && address.to_checksum(None) != text.value {
        let message = format!("{called} has a wrong checksum: {shown}");
        return mistake(message, "a digit is wrong; copy the address again from its source");
    }
    if address.is_zero() {
        return mistake(format!("{called} is the zero address"), "nobody owns that address");
    }
    Ok(address)
}

/// Checks a name that the document gives to a chain, an asset, a payee or a tool.
pub(super) fn check_name(source: Source<'_>, name: &Name<'_>) -> Result<(), PolicyError> {
    let text = name.value;
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !is_word(text) || !begins {
        let shown = text.escape_debug();
        return Err(name_mistake(source, &name.span, &format!("\"{shown}\" cannot be a name")));
    }
    if RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(text)) {
        return Err(name_mistake(source, &name.span, &format!("\"{text}\" is a reserved name")));
    }
    Ok(())
}

/// Whether a text can be part of a rule's name: at most 64 letters, digits, `-` and `_`.
pub(crate) fn is_word(text: &str) -> bool {
    let letters = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    letters && (1..=64).contains(&text.len())
}

pub(super) fn name_mistake(source: Source<'_>, span: &Range<usize>, message: &str) -> PolicyError {
    let help = "choose another of at most 64 letters, digits, `-` and `_`";
    source.meaning(span.clone(), message, help)
}

/// The mistake of a name that stands for nothing: `there is no asset "USCD"`.
pub(super) fn nothing_named<'k>(
    source: Source<'_>,
    what: &str,
    name: &Found<&str>,
    known: impl Iterator<Item = &'k String> + Clone,
) -> PolicyError {
    let help = match did_you_mean(name.value, known.clone().map(String::as_str)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => match known.map(String::as_str).collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => format!("this policy has no {what} at all; add it first"),
            known => format!("known {what}s: {known}"),
        },
    };
    let message = format!("there is no {what} \"{}\"", name.value.escape_debug());
    source.meaning(name.span.clone(), message, help)
}

/// What a value is, in words.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(number) if number.as_str().starts_with('-') => "a negative number",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
