//! How many threads a model gets.
//!
//! The threads of a computation wait for each other after every layer, spinning. One more than
//! there are free cores makes all of them wait for the scheduler: the same work was measured to
//! take 2 to 25 times as long. A second thread on the same core brings nothing either.
//!
//! How many cores are free says the system's load of the last minute, once, when the model is
//! loaded. That counts everybody's work, this program's own included: a second model that is loaded
//! while the first computes gets fewer threads, and whoever knows better says how many.

use std::collections::BTreeSet;
use std::fs;
use std::thread::available_parallelism;

use crate::error::ModelError;

const MAX_THREADS: u32 = 512; // GGML_MAX_N_THREADS
/// Below this size a second thread costs more in waiting than it computes.
const ONE_THREAD_BELOW: u64 = 100 << 20;

/// The threads for a model file of this size.
pub(crate) fn choose(file_size: u64, wanted: Option<u32>) -> Result<u32, ModelError> {
    match wanted {
        Some(threads) if (1..=MAX_THREADS).contains(&threads) => Ok(threads),
        Some(threads) => Err(ModelError::Options(format!(
            "threads is {threads}, and has to be between 1 and {MAX_THREADS}"
        ))),
        None if file_size < ONE_THREAD_BELOW => Ok(1),
        None => Ok(idle_cores(cores(), load())),
    }
}

/// Cores that this process may use, as the scheduler's limits for it say.
fn cores() -> u32 {
    let allowed = available_parallelism().map_or(1, |cores| cores.get());
    let allowed = u32::try_from(allowed).unwrap_or(MAX_THREADS);
    physical_cores().map_or(allowed, |physical| physical.clamp(1, allowed))
}

/// Cores of the machine, each counted once however many threads it has.
fn physical_cores() -> Option<u32> {
    let mut siblings = BTreeSet::new();
    for entry in fs::read_dir("/sys/devices/system/cpu").ok()?.flatten() {
        let list = entry.path().join("topology/thread_siblings_list");
        if let Ok(list) = fs::read_to_string(list) {
            siblings.insert(list);
        }
    }
    u32::try_from(siblings.len()).ok().filter(|cores| *cores > 0)
}

/// Threads that wanted to run, whoever's they are, on average over the last minute; 0 where nobody
/// says.
fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

fn idle_cores(cores: u32, load: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
    let taken = load.clamp(0.0, f64::from(MAX_THREADS)).round() as u32;
    cores.saturating_sub(taken).clamp(1, MAX_THREADS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_cores_are_left_to_those_that_keep_them_busy() {
        assert_eq!(idle_cores(8, 0.2), 8);
        assert_eq!(idle_cores(8, 2.7), 5);
        assert_eq!(idle_cores(2, 13.0), 1);
        assert_eq!(idle_cores(2, f64::NAN), 2);
    }

    #[test]
    fn a_small_model_has_one_thread_and_no_model_more_than_the_machine() {
        assert_eq!(choose(1 << 20, None).unwrap(), 1);
        let most = u32::try_from(available_parallelism().unwrap().get()).unwrap();
        assert!((1..=most).contains(&choose(4 << 30, None).unwrap()));
        assert!(choose(1, Some(0)).is_err());
    }
}
