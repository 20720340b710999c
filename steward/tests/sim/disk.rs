//! A disk that keeps what was synced and loses, at a crash, the rest from any byte on.
//!
//! Records lie as in the journal: length, CRC32C, bytes.

use crate::support::dice::Dice;
use marque_steward::Entry;

#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    bytes: Vec<u8>,
    synced: usize,
}

impl Disk {
    pub(crate) fn write(&mut self, entry: &Entry) {
        let record = entry.encode().unwrap();
        self.bytes.extend(u32::try_from(record.len()).unwrap().to_be_bytes());
        self.bytes.extend(crc32c::crc32c(&record).to_be_bytes());
        self.bytes.extend(record);
    }

    pub(crate) fn sync(&mut self) {
        self.synced = self.bytes.len();
    }

    pub(crate) fn crash(&mut self, dice: &mut Dice) {
        let unsynced = (self.bytes.len() - self.synced) as u64;
        let kept = match dice.below(3) {
            0 => 0,
            1 => unsynced,
            _ => dice.below(unsynced + 1),
        };
        self.bytes.truncate(self.synced + usize::try_from(kept).unwrap());
    }

    /// Reads every whole record and cuts off the torn rest.
    pub(crate) fn open(&mut self) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut at = 0;
        while let Some(head) = self.bytes.get(at..at + 8) {
            let (length, crc) = head.split_at(4);
            let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
            let crc = u32::from_be_bytes(crc.try_into().unwrap());
            let record = self.bytes.get(at + 8..at + 8 + length);
            let Some(record) = record.filter(|record| crc32c::crc32c(record) == crc) else { break };
            entries.push(Entry::decode(record).unwrap());
            at += 8 + length;
        }
        assert!(at >= self.synced, "the disk lost what was synced");
        self.bytes.truncate(at);
        self.synced = at;
        entries
    }
}
