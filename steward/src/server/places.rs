//! Places at one entrance for one user, shared out by process.
//!
//! Where all are taken, a newcomer gets the place of a process that holds more of them than its own
//! does, or one of its own, and only of a connection on which nothing is being done: what is under
//! way is answered. So a process that takes all that it can get crowds out itself alone.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};
use tokio::task::AbortHandle;

/// Connections of one user at one entrance at a time.
pub(crate) const CONNECTIONS: usize = 32;

/// The connections that are open.
#[derive(Debug, Default)]
pub(crate) struct Places(Vec<Place>);

#[derive(Debug)]
struct Place {
    process: Option<i32>,
    pulse: Arc<Pulse>,
    task: AbortHandle,
}

/// Whether something is being done on a connection, and since when not.
#[derive(Debug)]
pub(crate) struct Pulse {
    busy: AtomicUsize,
    last: Mutex<Instant>,
}

/// Held while a question is under way.
#[derive(Debug)]
pub(crate) struct Work(Arc<Pulse>);

impl Default for Pulse {
    fn default() -> Self {
        Self { busy: AtomicUsize::new(0), last: Mutex::new(Instant::now()) }
    }
}

impl Pulse {
    /// Says that a question came, and is worked on until what is returned is dropped.
    pub(crate) fn work(self: &Arc<Self>) -> Work {
        self.beat();
        self.busy.fetch_add(1, Ordering::SeqCst);
        Work(Arc::clone(self))
    }

    fn beat(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Since when nothing is being done; `None` while something is.
    fn idle_since(&self) -> Option<Instant> {
        let idle = self.busy.load(Ordering::SeqCst) == 0;
        idle.then(|| *self.last.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.beat();
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Places {
    /// Whether there is a place for a connection of `process`. An idle one may have to give way; what
    /// was asked on it stands, and can be asked again.
    pub(crate) fn make_room(&mut self, process: Option<i32>) -> bool {
        self.0.retain(|place| !place.task.is_finished());
        if self.0.len() < CONNECTIONS {
            return true;
        }
        let mut held: BTreeMap<Option<i32>, usize> = BTreeMap::new();
        for place in &self.0 {
            *held.entry(place.process).or_default() += 1;
        }
        let own = held.get(&process).copied().unwrap_or(0);
        let gives = self.0.iter().enumerate().filter_map(|(at, place)| {
            let holds = held.get(&place.process).copied().unwrap_or(0);
            let may_ask = place.process == process || holds > own;
            let idle = place.pulse.idle_since().filter(|_| may_ask)?;
            // Who holds the most first, and of those the one that was idle the longest.
            Some(((std::cmp::Reverse(holds), idle), at))
        });
        let Some((_, at)) = gives.min() else { return false };
        self.0.remove(at).task.abort();
        true
    }

    /// Takes a place.
    pub(crate) fn take(&mut self, process: Option<i32>, pulse: Arc<Pulse>, task: AbortHandle) {
        self.0.push(Place { process, pulse, task });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection of `process`; whether it is still open.
    fn enter(places: &mut Places, process: i32) -> Option<(Arc<Pulse>, AbortHandle)> {
        places.make_room(Some(process)).then(|| {
            let task = tokio::spawn(std::future::pending::<()>()).abort_handle();
            let pulse = Arc::<Pulse>::default();
            places.take(Some(process), Arc::clone(&pulse), task.clone());
            (pulse, task)
        })
    }

    async fn is_open((_, task): &(Arc<Pulse>, AbortHandle)) -> bool {
        tokio::task::yield_now().await;
        !task.is_finished()
    }

    #[tokio::test]
    async fn a_crowd_gives_way_and_crowds_out_itself_alone() {
        let mut places = Places::default();
        let owner = enter(&mut places, 1).unwrap();
        let mut crowd = Vec::new();
        for _ in 0..500 {
            crowd.push(enter(&mut places, 2).unwrap());
        }
        assert!(is_open(&owner).await, "the oldest of all, and another's");
        assert!(!is_open(&crowd[0]).await);
        // Others come in, up to an equal part.
        for process in 3..6 {
            assert!(is_open(&enter(&mut places, process).unwrap()).await);
        }
        assert_eq!(places.0.len(), CONNECTIONS);
    }

    #[tokio::test]
    async fn what_is_under_way_is_not_cut_off() {
        let mut places = Places::default();
        let mut busy = Vec::new();
        for _ in 0..CONNECTIONS {
            let (pulse, task) = enter(&mut places, 1).unwrap();
            busy.push((pulse.work(), (pulse, task)));
        }
        assert!(enter(&mut places, 2).is_none(), "nobody is idle");
        let (work, ended) = busy.pop().unwrap();
        drop(work);
        assert!(is_open(&enter(&mut places, 2).unwrap()).await);
        assert!(!is_open(&ended).await);
        for (_, connection) in &busy {
            assert!(is_open(connection).await);
        }
    }
}
