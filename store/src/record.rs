//! How a value lies on disk: `version u8 | seq u64 | payload | CRC32C u32`, big-endian.
//!
//! The checksum covers the key, too, so that a value under another key's name is damage.

use crate::StoreError;

/// The longest key, in bytes.
pub const MAX_KEY: usize = 1024;

/// The longest value, in bytes.
pub const MAX_VALUE: usize = 64 * 1024;

/// The format that this module reads and writes.
const FORMAT: u8 = 1;
const BEFORE: usize = 1 + 8;
const AFTER: usize = 4;

/// A record as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// The high-water mark when it was written.
    pub(crate) seq: u64,
    /// The value.
    pub(crate) payload: &'a [u8],
    /// Its checksum, which also goes into the store's sum.
    pub(crate) crc: u32,
}

/// The record's bytes and their checksum.
pub(crate) fn encode(key: &[u8], seq: u64, payload: &[u8]) -> (Vec<u8>, u32) {
    let mut bytes = Vec::with_capacity(BEFORE + payload.len() + AFTER);
    bytes.push(FORMAT);
    bytes.extend(seq.to_be_bytes());
    bytes.extend(payload);
    let crc = checksum(key, &bytes);
    bytes.extend(crc.to_be_bytes());
    (bytes, crc)
}

/// Reads the record of `key`.
pub(crate) fn decode<'a>(key: &[u8], bytes: &'a [u8]) -> Result<Record<'a>, StoreError> {
    let damaged = |why| StoreError::Damaged { at: name(key), why };
    let short = || damaged("its record is too short");
    let (body, crc) = bytes.split_last_chunk::<AFTER>().ok_or_else(short)?;
    let crc = u32::from_be_bytes(*crc);
    if checksum(key, body) != crc {
        return Err(damaged("its checksum does not match"));
    }
    let (&version, rest) = body.split_first().ok_or_else(short)?;
    // The checksum holds, so this is what somebody wrote.
    if version != FORMAT {
        return Err(StoreError::Version { found: version, known: FORMAT });
    }
    let (seq, payload) = rest.split_first_chunk::<8>().ok_or_else(short)?;
    Ok(Record { seq: u64::from_be_bytes(*seq), payload, crc })
}

/// A key as errors show it.
pub(crate) fn name(key: &[u8]) -> String {
    format!("key `{}`", key.escape_ascii())
}

fn checksum(key: &[u8], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written(key: Vec<u8>, seq: u64, payload: Vec<u8>) {
            let (bytes, crc) = encode(&key, seq, &payload);
            let record = decode(&key, &bytes).unwrap();
            prop_assert_eq!(record, Record { seq, payload: &payload, crc });
        }

        #[test]
        fn a_record_with_any_bit_flipped_is_damaged(
            key: Vec<u8>, payload: Vec<u8>, at: prop::sample::Index, bit in 0..8_u32,
        ) {
            let (mut bytes, _) = encode(&key, 7, &payload);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let damaged = matches!(decode(&key, &bytes), Err(StoreError::Damaged { .. }));
            prop_assert!(damaged);
        }

        #[test]
        fn a_record_under_another_key_is_damaged(key: Vec<u8>, payload: Vec<u8>) {
            let (bytes, _) = encode(&key, 7, &payload);
            let other = [key.as_slice(), b"x"].concat();
            let damaged = matches!(decode(&other, &bytes), Err(StoreError::Damaged { .. }));
            prop_assert!(damaged);
        }
    }

    #[test]
    fn a_record_cut_anywhere_is_damaged() {
        let (bytes, _) = encode(b"key", 7, b"payload");
        for len in 0..bytes.len() {
            assert!(matches!(decode(b"key", &bytes[..len]), Err(StoreError::Damaged { .. })));
        }
    }

    #[test]
    fn a_newer_record_is_refused_by_its_version() {
        let mut bytes = vec![FORMAT + 1];
        bytes.extend([0; 8]);
        let crc = checksum(b"key", &bytes);
        bytes.extend(crc.to_be_bytes());
        let error = decode(b"key", &bytes).unwrap_err();
        assert!(matches!(error, StoreError::Version { found: 2, known: 1 }), "{error}");
    }
}
