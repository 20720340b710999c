//! Typed reading of a TOML table whose keys and values know where they are written.

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
}

/// A value and where it is written.
#[derive(Clone, Debug)]
pub(super) struct Found<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

/// A name that the document gives to something.
pub(super) type Name<'a> = Found<&'a str>;

impl<'a> Section<'a> {
    pub(super) fn root(source: Source<'a>, table: &'a DeTable<'a>) -> Self {
        Self { source, path: "the policy".to_owned(), span: 0..0, table }
    }

    fn new(
        source: Source<'a>,
        path: String,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Result<Self, PolicyError> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(Self { source, path, span: value.span(), table }),
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
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            let message = format!("unknown key \"{}\" in {}", word.escape_debug(), self.path);
            return Err(self.source.meaning(key.span(), message, help));
        }
        Ok(())
    }

    /// The mistake of a key that must be there and is not.
    pub(super) fn missing(&self, key: &str, help: &str) -> PolicyError {
        self.source.meaning(self.span.clone(), format!("{} has no `{key}`", self.path), help)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Where the value of a key is written; the section itself if the key is not there.
    pub(super) fn span_of(&self, key: &str) -> Range<usize> {
        self.table.get(key).map_or_else(|| self.span.clone(), Spanned::span)
    }

    pub(super) fn is_table(&self, key: &str) -> bool {
        self.table.get(key).is_some_and(|value| value.get_ref().is_table())
    }

    /// The table under `key`.
    pub(super) fn section(&self, key: &str) -> Result<Option<Self>, PolicyError> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        Self::new(self.source, key.to_owned(), value).map(Some)
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

    pub(super) fn text(&self, key: &str) -> Result<Option<Found<&'a str>>, PolicyError> {
        let value = self.table.get(key);
        value.map(|value| self.as_text(key, value)).transpose()
    }

    /// A list of texts.
    pub(super) fn texts(&self, key: &str) -> Result<Option<Vec<Found<&'a str>>>, PolicyError> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        let DeValue::Array(values) = value.get_ref() else {
            let message = format!("`{key}` is {}, not a list", kind(value.get_ref()));
            let help = format!("write it in brackets: {key} = [\"..\"]");
            return Err(self.source.meaning(value.span(), message, help));
        };
        values.iter().map(|value| self.as_text(key, value)).collect::<Result<_, _>>().map(Some)
    }

    pub(super) fn integer(&self, key: &str) -> Result<Option<Found<u64>>, PolicyError> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        let number = match value.get_ref() {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let number = number.ok_or_else(|| {
            let message = format!("`{key}` is {}, not a whole number", kind(value.get_ref()));
            self.source.meaning(value.span(), message, format!("write it bare: {key} = 1"))
        })?;
        Ok(Some(Found { value: number, span: value.span() }))
    }

    /// An address of 20 bytes. One in mixed case must have the right EIP-55 checksum, so that a
    /// slip of the pen does not send money away.
    pub(super) fn address(&self, key: &str) -> Result<Option<Address>, PolicyError> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let digits = text.value.strip_prefix("0x").unwrap_or_default();
        let mistake = |message: String, help: &str| {
            Err(self.source.meaning(text.span.clone(), message, help))
        };
        let shown = text.value.escape_debug();
        if digits.len() != 40 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            let message = format!("`{key}` is no address: \"{shown}\"");
            return mistake(message, "an address is 0x and 40 hexadecimal digits");
        }
        let Ok(address) = text.value.parse::<Address>() else {
            return mistake(format!("`{key}` is no address: \"{shown}\""), "check the digits");
        };
        let mixed = digits.bytes().any(|b| b.is_ascii_uppercase())
            && digits.bytes().any(|b| b.is_ascii_lowercase());
        if mixed && address.to_checksum(None) != text.value {
            let message = format!("`{key}` has a wrong checksum: {shown}");
            return mistake(message, "a digit is wrong; copy the address again from its source");
        }
        if address.is_zero() {
            return mistake(format!("`{key}` is the zero address"), "nobody owns that address");
        }
        Ok(Some(address))
    }

    fn as_text(
        &self,
        key: &str,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Result<Found<&'a str>, PolicyError> {
        match value.get_ref() {
            DeValue::String(text) => Ok(Found { value: text, span: value.span() }),
            other => Err(self.source.meaning(
                value.span(),
                format!("`{key}` is {}, not a text", kind(other)),
                "write it in quotation marks",
            )),
        }
    }
}

/// Checks a name that the document gives to a chain, an asset, a payee or a tool.
pub(super) fn check_name(source: Source<'_>, name: &Name<'_>) -> Result<(), PolicyError> {
    let text = name.value;
    let letters = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !letters || !begins || text.len() > 64 {
        let shown = text.escape_debug();
        return Err(name_mistake(source, &name.span, &format!("\"{shown}\" cannot be a name")));
    }
    if RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(text)) {
        return Err(name_mistake(source, &name.span, &format!("\"{text}\" is a reserved name")));
    }
    Ok(())
}

pub(super) fn name_mistake(source: Source<'_>, span: &Range<usize>, message: &str) -> PolicyError {
    let help = "choose another of at most 64 letters, digits, `-` and `_`";
    source.meaning(span.clone(), message, help)
}

/// What a value is, in words.
fn kind(value: &DeValue<'_>) -> &'static str {
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
