//! Canonical JSON (RFC 8785), quickly.
//!
//! serde writes texts and integers as RFC 8785 does; what it leaves to do is to put the members of
//! objects in order. Whatever is not as plain as that (a key with an escape or outside ASCII, a
//! number with a fraction or past 15 digits) is left to the general implementation.
//!
//! INVARIANT: the bytes are those of the general implementation (pinned by
//! `canonical::tests::the_bytes_are_those_of_the_general_implementation`).

use serde::Serialize;
use std::ops::Range;

/// Integers of so many digits are doubles, each of its own.
const DIGITS: usize = 15;

/// The canonical bytes of a value.
pub(crate) fn to_vec(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let plain = serde_json::to_vec(value)?;
    let mut sorter = Sorter { plain: &plain, at: 0, out: Vec::with_capacity(plain.len()) };
    match sorter.value() {
        Some(()) => Ok(sorter.out),
        None => serde_json_canonicalizer::to_vec(value),
    }
}

/// Copies JSON as serde writes it, objects in order. Answers `None` for what it leaves to others.
struct Sorter<'a> {
    plain: &'a [u8],
    at: usize,
    out: Vec<u8>,
}

impl<'a> Sorter<'a> {
    fn peek(&self) -> Option<u8> {
        self.plain.get(self.at).copied()
    }

    /// Copies what lies between here and `end`.
    fn copy(&mut self, end: usize) -> Option<&'a [u8]> {
        let copied = self.plain.get(self.at..end)?;
        self.out.extend_from_slice(copied);
        self.at = end;
        Some(copied)
    }

    fn value(&mut self) -> Option<()> {
        match self.peek()? {
            b'{' => self.object(),
            b'[' => self.list(),
            b'"' => self.text().map(drop),
            _ => self.word(),
        }
    }

    /// A text, quotes included.
    fn text(&mut self) -> Option<&'a [u8]> {
        let mut end = self.at + 1;
        loop {
            match self.plain.get(end)? {
                b'"' => return self.copy(end + 1),
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> Option<()> {
        let rest = self.plain.get(self.at..)?;
        let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}');
        let word = rest.get(..rest.iter().position(ends).unwrap_or(rest.len()))?;
        let plain = match word.strip_prefix(b"-").unwrap_or(word) {
            b"true" | b"false" | b"null" => true,
            digits => digits.len() <= DIGITS && digits.iter().all(u8::is_ascii_digit),
        };
        self.copy(self.at + word.len()).filter(|_| plain).map(drop)
    }

    fn list(&mut self) -> Option<()> {
        self.copy(self.at + 1)?;
        while self.peek()? != b']' {
            self.value()?;
            if self.peek()? == b',' {
                self.copy(self.at + 1)?;
            }
        }
        self.copy(self.at + 1).map(drop)
    }

    fn object(&mut self) -> Option<()> {
        self.copy(self.at + 1)?;
        let from = self.out.len();
        let mut members: Vec<(&[u8], Range<usize>)> = Vec::new();
        while self.peek()? != b'}' {
            let start = self.out.len() - from;
            // In ASCII and without escapes the order of bytes is that of UTF-16.
            let key = self.text().filter(|key| key.is_ascii() && !key.contains(&b'\\'))?;
            self.copy(self.at + 1)?;
            self.value()?;
            members.push((key.get(1..key.len() - 1)?, start..self.out.len() - from));
            self.at += usize::from(self.peek()? == b',');
        }
        members.sort_unstable_by_key(|(key, _)| *key);
        if members.windows(2).any(|pair| matches!(pair, [(a, _), (b, _)] if a == b)) {
            return None;
        }
        let written = self.out.split_off(from);
        for (n, (_, member)) in members.into_iter().enumerate() {
            if n > 0 {
                self.out.push(b',');
            }
            self.out.extend_from_slice(written.get(member)?);
        }
        self.copy(self.at + 1).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::to_vec;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u32>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        let key = prop_oneof!["[ -~]{0,3}", any::<String>()];
        leaf.prop_recursive(5, 64, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map(key.clone(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_of_the_general_implementation(value in values()) {
            let general = serde_json_canonicalizer::to_vec(&value).unwrap();
            prop_assert_eq!(to_vec(&value).unwrap(), general);
        }
    }

    #[test]
    fn members_are_ordered_by_their_keys_and_not_by_how_keys_are_written() {
        let value = json!({ "b": [{ "z": 1, "y": "\"}," }], "a!": 0, "a": -1, "aa": {} });
        let bytes = to_vec(&value).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text, r#"{"a":-1,"a!":0,"aa":{},"b":[{"y":"\"},","z":1}]}"#);
    }
}
