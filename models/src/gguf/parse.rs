//! From bytes to a header: what it claims is checked as soon as it is read.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Seek};

use super::source::{Fault, Source, Text};
use super::types::{Kind, TensorType};
use super::{Header, KEPT_NUMBERS, Tensor, Value, figures};

const MAGIC: [u8; 4] = *b"GGUF";
/// No real header comes near these; a damaged one quickly does.
const MAX_ENTRIES: u64 = 1 << 16;
const MAX_TENSORS: u64 = 1 << 16;
const MAX_TOKENS: u64 = 1 << 22;
const MAX_VALUES: u64 = 1 << 26;
const MAX_DIMENSIONS: u32 = 4; // GGML_MAX_DIMS
const MAX_NAME: usize = 63; // GGML_MAX_NAME, which ends with a zero
const DEFAULT_ALIGNMENT: u64 = 32;
/// Tokens with the same text make llama.cpp abort.
pub(super) const TOKENS: &str = "tokenizer.ggml.tokens";

/// Reads and checks a header.
pub(super) fn parse(reader: impl Read + Seek, file_size: u64) -> Result<Header, Fault> {
    let mut source = Source::new(reader, file_size);
    check_beginning(&mut source)?;
    let (tensors, entries) = (source.u64()?, source.u64()?);
    if entries > MAX_ENTRIES {
        return Err(Fault::Damaged(format!("its header claims {entries} entries")));
    }
    if tensors > MAX_TENSORS {
        return Err(Fault::Damaged(format!("its header claims {tensors} tensors")));
    }
    let entries = read_entries(&mut source, entries)?;
    let architecture = match entries.get("general.architecture") {
        Some(Value::Text(Some(architecture))) => architecture.clone(),
        _ => return Err(Fault::Damaged("its header names no general.architecture".to_owned())),
    };
    let alignment = alignment(&entries)?;
    let mut header =
        Header { architecture, entries, tensors: Vec::new(), data_offset: 0, file_size };
    // Parts and adapters have fewer tensors than their figures say, which is no damage.
    figures::check_that_it_is_a_model(&header, tensors)?;
    header.tensors = read_tensors(&mut source, tensors, alignment)?;
    header.data_offset = padded(source.position(), alignment)?;
    let data = header.tensors.last().map_or(0, |last| last.offset.saturating_add(last.bytes));
    let needs = header.data_offset.saturating_add(data);
    if needs > file_size {
        return Err(Fault::Cut { needs: Some(needs) });
    }
    figures::check(&header)?;
    Ok(header)
}

fn check_beginning(source: &mut Source<impl Read + Seek>) -> Result<(), Fault> {
    let size = source.left();
    let magic = source.bytes::<4>().map_err(|fault| match fault {
        Fault::Cut { .. } => Fault::NotGguf(format!("it has only {size} bytes")),
        fault => fault,
    })?;
    if magic != MAGIC {
        let found = String::from_utf8_lossy(&magic).escape_debug().to_string();
        return Err(Fault::NotGguf(format!("it starts with \"{found}\" instead of \"GGUF\"")));
    }
    match source.u32()? {
        2 | 3 => Ok(()),
        1 => Err(Fault::NotGguf("version 1 is no longer read; convert it anew".to_owned())),
        version if matches!(version.swap_bytes(), 1..=3) => {
            Err(Fault::NotGguf("it is written for big-endian machines".to_owned()))
        }
        version => Err(Fault::NotGguf(format!("version {version} is unknown, 2 and 3 are read"))),
    }
}

fn read_entries(
    source: &mut Source<impl Read + Seek>,
    count: u64,
) -> Result<BTreeMap<String, Value>, Fault> {
    let mut entries = BTreeMap::new();
    for number in 0..count {
        let key = name(source.text(&format!("the name of entry {number}"))?, "entry", number)?;
        let value = read_value(source, &key)?;
        if entries.insert(key.clone(), value).is_some() {
            return Err(Fault::Damaged(format!("its header has two entries {key:?}")));
        }
    }
    Ok(entries)
}

/// Names are C strings to llama.cpp: what comes after a zero would not count.
fn name(text: Text, of: &str, number: u64) -> Result<String, Fault> {
    let nameless = || Fault::Damaged(format!("the name of {of} {number} is none"));
    let Text::Whole(bytes) = text else { return Err(nameless()) };
    let name = String::from_utf8(bytes).map_err(|_| nameless())?;
    match name.is_empty() || name.chars().any(char::is_control) {
        true => Err(nameless()),
        false => Ok(name),
    }
}

fn read_value(source: &mut Source<impl Read + Seek>, key: &str) -> Result<Value, Fault> {
    let kind = kind(source.u32()?, key)?;
    match kind {
        Kind::Text => {
            let text = match source.text(&format!("entry {key:?}"))? {
                Text::Whole(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
                Text::Long => None,
            };
            Ok(Value::Text(text))
        }
        Kind::List => {
            let element = self::kind(source.u32()?, key)?;
            let count = source.u64()?;
            read_list(source, key, element, count)
        }
        Kind::Bool => Ok(Value::Flag(source.number(kind)? != 0)),
        Kind::F32 => Ok(Value::Float(f32::from_bits(source.u32()?).into())),
        Kind::F64 => Ok(Value::Float(f64::from_bits(source.u64()?))),
        kind => Ok(Value::Number(kind, source.number(kind)?)),
    }
}

fn kind(number: u32, key: &str) -> Result<Kind, Fault> {
    Kind::from_number(number)
        .ok_or_else(|| Fault::Damaged(format!("entry {key:?} has the unknown type {number}")))
}

fn read_list(
    source: &mut Source<impl Read + Seek>,
    key: &str,
    element: Kind,
    count: u64,
) -> Result<Value, Fault> {
    if count > MAX_VALUES {
        return Err(Fault::Damaged(format!("entry {key:?} claims {count} values")));
    }
    let Some(width) = element.width() else {
        if element == Kind::List {
            return Err(Fault::Damaged(format!("entry {key:?} is a list of lists")));
        }
        read_texts(source, key, count)?;
        return Ok(Value::List(element, count, Vec::new()));
    };
    let length = count.saturating_mul(width);
    let whole = !matches!(element, Kind::F32 | Kind::F64 | Kind::Bool);
    if count > KEPT_NUMBERS || !whole {
        source.skip(length)?;
        return Ok(Value::List(element, count, Vec::new()));
    }
    let mut numbers = Vec::new();
    for _ in 0..count {
        numbers.push(source.number(element)?);
    }
    Ok(Value::List(element, count, numbers))
}

fn read_texts(source: &mut Source<impl Read + Seek>, key: &str, count: u64) -> Result<(), Fault> {
    let tokens = key == TOKENS;
    if tokens && count > MAX_TOKENS {
        return Err(Fault::Damaged(format!("its vocabulary claims {count} tokens")));
    }
    let hasher = RandomState::new();
    let mut known = HashSet::new();
    for number in 0..count {
        let mut text = source.passing_text(&format!("text {number} of {key:?}"))?;
        if !tokens {
            continue;
        }
        // llama.cpp reads each up to its first zero, and gives a name of its own to an empty one.
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        text.truncate(end);
        if text.is_empty() {
            text = format!("[EMPTY_{number}]").into_bytes();
        }
        if !known.insert(hasher.hash_one(&text)) {
            let token = String::from_utf8_lossy(&text);
            let token: String = token.escape_debug().take(40).collect();
            return Err(Fault::Damaged(format!("its vocabulary has the token \"{token}\" twice")));
        }
    }
    Ok(())
}

fn alignment(entries: &BTreeMap<String, Value>) -> Result<u64, Fault> {
    let Some(value) = entries.get("general.alignment") else { return Ok(DEFAULT_ALIGNMENT) };
    match value {
        Value::Number(Kind::U32, number) => u64::try_from(*number).ok(),
        _ => None,
    }
    .filter(|alignment| alignment.is_power_of_two() && *alignment >= 8)
    .ok_or_else(|| {
        Fault::Damaged("its general.alignment is no power of two of at least 8".to_owned())
    })
}

fn padded(offset: u64, alignment: u64) -> Result<u64, Fault> {
    offset
        .checked_next_multiple_of(alignment)
        .ok_or_else(|| Fault::Damaged("its tensors are larger than any file".to_owned()))
}

fn read_tensors(
    source: &mut Source<impl Read + Seek>,
    count: u64,
    alignment: u64,
) -> Result<Vec<Tensor>, Fault> {
    let mut tensors = Vec::new();
    let mut names = HashSet::new();
    let mut end = 0;
    for number in 0..count {
        let tensor = read_tensor(source, number)?;
        let name = &tensor.name;
        if !names.insert(name.clone()) {
            return Err(Fault::Damaged(format!("its header has two tensors {name:?}")));
        }
        if tensor.offset != end {
            return Err(Fault::Damaged(format!(
                "tensor {name:?} lies at {}, and has to follow the one before it at {end}",
                tensor.offset
            )));
        }
        end = padded(tensor.offset.saturating_add(tensor.bytes), alignment)?;
        tensors.push(tensor);
    }
    Ok(tensors)
}

fn read_tensor(source: &mut Source<impl Read + Seek>, number: u64) -> Result<Tensor, Fault> {
    let name = name(source.text(&format!("the name of tensor {number}"))?, "tensor", number)?;
    let wrong = |what: String| Fault::Damaged(format!("tensor {name:?} {what}"));
    if name.len() > MAX_NAME {
        return Err(wrong(format!("has a name of more than {MAX_NAME} bytes")));
    }
    let count = source.u32()?;
    if !(1..=MAX_DIMENSIONS).contains(&count) {
        return Err(wrong(format!("has {count} dimensions, where 1 to {MAX_DIMENSIONS} are read")));
    }
    let mut dimensions = Vec::new();
    for _ in 0..count {
        dimensions.push(source.u64()?);
    }
    let (kind, offset) = (source.u32()?, source.u64()?);
    let kind = TensorType::from_number(kind)
        .ok_or_else(|| wrong(format!("has the number format {kind}, which nobody knows")))?;
    if dimensions.contains(&0) {
        return Err(wrong("is empty".to_owned()));
    }
    let row = dimensions.first().copied().unwrap_or(0);
    if row.checked_rem(kind.block()) != Some(0) {
        return Err(wrong(format!(
            "has rows of {row} weights, and {} is stored in blocks of {}",
            kind.name(),
            kind.block()
        )));
    }
    let size = || {
        let elements = dimensions.iter().try_fold(1_u64, |n, d| n.checked_mul(*d))?;
        let bytes = elements.checked_div(kind.block())?.checked_mul(kind.block_bytes())?;
        i64::try_from(elements.max(bytes)).is_ok().then_some((elements, bytes))
    };
    let (elements, bytes) = size().ok_or_else(|| wrong("is larger than any file".to_owned()))?;
    Ok(Tensor { name, kind, dimensions, offset, elements, bytes })
}
