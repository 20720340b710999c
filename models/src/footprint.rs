//! How much memory a model takes, told from its header, and how much this machine has.
//!
//! INVARIANT: the estimate is never far below what the process then takes
//! (`a_loaded_model_takes_what_its_header_foretells`).

use std::fs;

use crate::gguf::Header;

/// Bytes of a number in the KV cache: 16 bits.
const CACHED: u64 = 2;
/// Bytes of an activation.
const ACTIVATION: u64 = 4;
/// Tokens that are computed in one go (`cache.rs`).
const MICRO_BATCH: u64 = 128;
/// Activations of the layers' width that live at the same time, measured generously.
const LIVE: u64 = 16;

/// What a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Bytes of its weights.
    pub weights: u64,
    /// Bytes of the KV cache for each token of context.
    pub per_token: u64,
    /// Bytes that a computation needs in between.
    pub work: u64,
    /// Whether the cache may be smaller: windows, latent keys and recurrent layers store less.
    pub at_most: bool,
}

impl Footprint {
    /// Of the model with this header.
    #[must_use]
    pub fn of(header: &Header) -> Self {
        let layers = header.figure("block_count").unwrap_or(0);
        let width = header.figure("embedding_length").unwrap_or(0);
        let heads = header.figures("attention.head_count", layers).unwrap_or_default();
        let kv_heads = header.figures("attention.head_count_kv", layers);
        let kv_heads = kv_heads.unwrap_or_else(|| heads.clone());
        let most = heads.iter().copied().max().unwrap_or(0);
        let head = width.checked_div(most).unwrap_or(0);
        let key = header.figure("attention.key_length").unwrap_or(head);
        let value = header.figure("attention.value_length").unwrap_or(head);
        let sum = kv_heads.iter().fold(0_u64, |sum, heads| sum.saturating_add(*heads));
        let wide = header.figures("feed_forward_length", layers).unwrap_or_default();
        let wide = wide.into_iter().max().unwrap_or(0).max(width);
        let vocabulary = header.length("tokenizer.ggml.tokens").unwrap_or(0);
        let activations = vocabulary.saturating_add(wide.saturating_mul(LIVE));
        let smaller = ["attention.sliding_window", "attention.kv_lora_rank", "ssm.state_size"];
        Self {
            weights: header.tensors().iter().fold(0, |sum, t| sum.saturating_add(t.bytes)),
            per_token: sum.saturating_mul(key.saturating_add(value)).saturating_mul(CACHED),
            work: activations.saturating_mul(MICRO_BATCH).saturating_mul(ACTIVATION),
            at_most: smaller.iter().any(|name| header.figure(name).is_some()),
        }
    }

    /// Bytes with so many tokens of context, those of all conversations together.
    #[must_use]
    pub fn with(&self, tokens: u64) -> u64 {
        let cache = self.per_token.saturating_mul(tokens);
        self.weights.saturating_add(cache).saturating_add(self.work)
    }
}

/// Bytes of memory that this process may use, as the machine and the scheduler's limits say; `None`
/// where nobody says.
#[must_use]
pub fn memory() -> Option<u64> {
    let machine = machine()?;
    let limit = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let limit = limit.and_then(|limit| limit.trim().parse::<u64>().ok());
    Some(limit.map_or(machine, |limit| limit.min(machine)))
}

/// Asked of the kernel and not of `/proc`, which a fenced mind cannot read.
#[cfg(target_os = "linux")]
fn machine() -> Option<u64> {
    let info = rustix::system::sysinfo();
    info.totalram.checked_mul(info.mem_unit.into())
}

#[cfg(not(target_os = "linux"))]
const fn machine() -> Option<u64> {
    None
}

/// Bytes of memory that are free, or would be if files in memory were let go.
#[must_use]
pub fn available() -> Option<u64> {
    kilobytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable")
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{Format, Synthetic};

    #[test]
    fn the_cache_of_a_token_is_keys_and_values_of_every_layer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.gguf");
        Synthetic::small(Format::Q8_0).write(&path).unwrap();
        let footprint = Footprint::of(&Header::read(&path).unwrap());
        // 2 layers, 2 heads of keys and as many of values, each 64 wide, 16 bits.
        assert_eq!(footprint.per_token, 2 * 2 * (64 + 64) * 2);
        assert!(!footprint.at_most);
        assert_eq!(footprint.with(10) - footprint.with(0), 10 * footprint.per_token);
        assert!(footprint.weights < path.metadata().unwrap().len());
    }

    #[test]
    fn memory_is_read_as_the_system_writes_it() {
        let text = "MemTotal:       16384 kB\nMemAvailable:    1024 kB\n";
        assert_eq!(kilobytes(text, "MemTotal"), Some(16 << 20));
        assert_eq!(kilobytes(text, "MemAvailable"), Some(1 << 20));
        let told = kilobytes(&fs::read_to_string("/proc/meminfo").unwrap(), "MemTotal").unwrap();
        assert_eq!(machine(), Some(told));
        assert_eq!(kilobytes("MemTotal: much", "MemTotal"), None);
        assert!(memory() >= available());
    }
}
