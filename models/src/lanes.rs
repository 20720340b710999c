//! Which sequence of the KV cache holds what, and how many cells that takes.
//!
//! llama.cpp keeps a cell for each (sequence, position), shared by sequences that were copied
//! from each other, and aborts the process over an id, a position or a range that it does not
//! expect. This is a ledger of the same cells, without llama.cpp in it: what the engine asks of
//! the cache is decided here first, so that a batch always fits.
//!
//! INVARIANT: a lane's tokens are exactly those that the KV cache holds for its sequence, at the
//! positions 0, 1, 2, ... ([`Cache`](crate::cache::Cache) changes both together), and `free` is
//! what the cache has left (`the_ledger_agrees_with_a_recount_whatever_is_done`).

use llama_cpp_2::token::LlamaToken;

use crate::model::SessionId;

/// The number of a lane, which is its sequence id in llama.cpp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LaneId(u16);

impl LaneId {
    /// The sequence id.
    pub(crate) fn sequence(self) -> i32 {
        self.0.into()
    }
}

/// How lanes share the cells of a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// All lanes draw on one pool, and lanes with a common start share its cells.
    Pooled {
        /// Cells of the pool.
        cells: usize,
    },
    /// Each lane has a stream of cells of its own, whose bits depend on nothing but its tokens.
    Apart,
}

/// All lanes of one context.
#[derive(Debug)]
pub(crate) struct Lanes {
    lanes: Vec<Lane>,
    /// Most tokens of one lane.
    limit: usize,
    layout: Layout,
    /// How many lanes hold each cell of the pool.
    holders: Vec<u16>,
    unheld: Vec<usize>,
    clock: u64,
}

#[derive(Debug, Default)]
struct Lane {
    tokens: Vec<LlamaToken>,
    /// The cells of the tokens, as far as the layout pools them.
    cells: Vec<usize>,
    session: Option<SessionId>,
    busy: bool,
    used: u64,
}

impl Lanes {
    /// `count` empty lanes of at most `limit` tokens each.
    pub(crate) fn new(count: u16, limit: usize, layout: Layout) -> Self {
        let cells = match layout {
            Layout::Pooled { cells } => cells,
            Layout::Apart => 0,
        };
        Self {
            lanes: (0..count).map(|_| Lane::default()).collect(),
            limit,
            layout,
            holders: vec![0; cells],
            unheld: (0..cells).rev().collect(),
            clock: 0,
        }
    }

    /// How the lanes share cells.
    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    /// Every lane.
    pub(crate) fn ids(&self) -> impl Iterator<Item = LaneId> + use<> {
        (0..u16::try_from(self.lanes.len()).unwrap_or(u16::MAX)).map(LaneId)
    }

    /// What a lane holds.
    pub(crate) fn tokens(&self, id: LaneId) -> &[LlamaToken] {
        self.lane(id).map_or(&[], |lane| &lane.tokens)
    }

    /// Cells that hold nothing. Lanes apart never lack any: each has its whole limit.
    pub(crate) fn free(&self) -> usize {
        match self.layout {
            Layout::Pooled { .. } => self.unheld.len(),
            Layout::Apart => usize::MAX,
        }
    }

    /// Cells that would be free if every idle lane were emptied.
    pub(crate) fn reclaimable(&self) -> usize {
        if self.layout == Layout::Apart {
            return usize::MAX;
        }
        let mut busy = vec![false; self.holders.len()];
        for cell in self.lanes.iter().filter(|lane| lane.busy).flat_map(|lane| &lane.cells) {
            if let Some(mark) = busy.get_mut(*cell) {
                *mark = true;
            }
        }
        busy.iter().filter(|&&held| !held).count()
    }

    /// Takes a lane for a request: the session's own if it is idle, else an empty one, else the
    /// idle one not used for longest. `None` while all are busy.
    ///
    /// The lane may still hold what another session left in it; `true` says that it is the
    /// session's own work.
    pub(crate) fn claim(&mut self, session: Option<&SessionId>) -> Option<(LaneId, bool)> {
        let rank = |lane: &Lane| {
            let own = session.is_some() && lane.session.as_ref() == session;
            (own, lane.tokens.is_empty(), std::cmp::Reverse(lane.used))
        };
        let id = self.ids().filter(|id| !self.is_busy(*id)).max_by(|a, b| {
            let (a, b) = (self.lane(*a).map(rank), self.lane(*b).map(rank));
            // The first of equals.
            a.cmp(&b).then(std::cmp::Ordering::Greater)
        })?;
        self.clock = self.clock.saturating_add(1);
        let clock = self.clock;
        let taken = session
            .is_some_and(|_| self.lanes.iter().any(|l| l.busy && l.session.as_ref() == session));
        let lane = self.lane_mut(id)?;
        let own = session.is_some() && lane.session.as_ref() == session;
        // A second request of a session at the same time works without a name, so that two lanes
        // never answer to one.
        lane.session = session.filter(|_| own || !taken).cloned();
        lane.busy = true;
        lane.used = clock;
        Some((id, own))
    }

    /// Ends the use of a lane; what it holds stays for its session.
    pub(crate) fn release(&mut self, id: LaneId) {
        if let Some(lane) = self.lane_mut(id) {
            lane.busy = false;
        }
    }

    /// Whether the lane has no session that could come back to it.
    pub(crate) fn is_nameless(&self, id: LaneId) -> bool {
        self.lane(id).is_none_or(|lane| lane.session.is_none())
    }

    /// The idle lane of a session.
    pub(crate) fn of_session(&self, session: &SessionId) -> Option<LaneId> {
        self.ids().find(|id| {
            self.lane(*id).is_some_and(|lane| !lane.busy && lane.session.as_ref() == Some(session))
        })
    }

    /// The idle lane that holds something and was not used for longest.
    pub(crate) fn oldest_idle(&self) -> Option<LaneId> {
        let held =
            |id: &LaneId| self.lane(*id).is_some_and(|lane| !lane.busy && !lane.tokens.is_empty());
        self.ids().filter(held).min_by_key(|id| self.lane(*id).map(|lane| lane.used))
    }

    /// The lane other than `except` that shares the longest start with `wanted`, and its length.
    pub(crate) fn longest_start(
        &self,
        wanted: &[LlamaToken],
        except: LaneId,
    ) -> Option<(LaneId, usize)> {
        self.ids()
            .filter(|id| *id != except)
            .map(|id| (id, common(self.tokens(id), wanted)))
            .max_by_key(|(_, length)| *length)
            .filter(|(_, length)| *length > 0)
    }

    /// Whether `more` tokens fit into the lane and into the pool.
    pub(crate) fn fits(&self, id: LaneId, more: usize) -> bool {
        self.tokens(id).len().saturating_add(more) <= self.limit && more <= self.free()
    }

    /// Books tokens that were evaluated at the end of a lane; `false` if they do not fit.
    pub(crate) fn append(&mut self, id: LaneId, tokens: &[LlamaToken]) -> bool {
        if !self.fits(id, tokens.len()) {
            return false;
        }
        let mut cells = Vec::new();
        if self.layout != Layout::Apart {
            cells = self.unheld.split_off(self.unheld.len().saturating_sub(tokens.len()));
            for cell in &cells {
                if let Some(holders) = self.holders.get_mut(*cell) {
                    *holders = 1;
                }
            }
        }
        let Some(lane) = self.lane_mut(id) else { return false };
        lane.tokens.extend_from_slice(tokens);
        lane.cells.append(&mut cells);
        true
    }

    /// Books that everything after the first `kept` tokens was removed.
    pub(crate) fn truncate(&mut self, id: LaneId, kept: usize) {
        let Some(lane) = self.lane_mut(id) else { return };
        lane.tokens.truncate(kept);
        let dropped = lane.cells.split_off(kept.min(lane.cells.len()));
        for cell in dropped {
            if let Some(holders) = self.holders.get_mut(cell) {
                *holders = holders.saturating_sub(1);
                if *holders == 0 {
                    self.unheld.push(cell);
                }
            }
        }
    }

    /// Books that the first `length` tokens of `from` were copied into the empty lane `to`.
    pub(crate) fn share(&mut self, from: LaneId, to: LaneId, length: usize) {
        let Some(source) = self.lane(from) else { return };
        let tokens = source.tokens.get(..length).unwrap_or_default().to_vec();
        let cells = source.cells.get(..length).unwrap_or_default().to_vec();
        for cell in &cells {
            if let Some(holders) = self.holders.get_mut(*cell) {
                *holders = holders.saturating_add(1);
            }
        }
        if let Some(lane) = self.lane_mut(to) {
            (lane.tokens, lane.cells) = (tokens, cells);
        }
    }

    /// Forgets whose lane it is.
    pub(crate) fn rename(&mut self, id: LaneId, session: Option<SessionId>) {
        if let Some(lane) = self.lane_mut(id) {
            lane.session = session;
        }
    }

    fn is_busy(&self, id: LaneId) -> bool {
        self.lane(id).is_none_or(|lane| lane.busy)
    }

    fn lane(&self, id: LaneId) -> Option<&Lane> {
        self.lanes.get(usize::from(id.0))
    }

    fn lane_mut(&mut self, id: LaneId) -> Option<&mut Lane> {
        self.lanes.get_mut(usize::from(id.0))
    }
}

/// How many tokens two texts have in common at their start.
pub(crate) fn common(a: &[LlamaToken], b: &[LlamaToken]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn tokens(ids: impl IntoIterator<Item = i32>) -> Vec<LlamaToken> {
        ids.into_iter().map(LlamaToken).collect()
    }

    fn use_once(lanes: &mut Lanes, session: &str) -> (u16, bool) {
        let (id, own) = lanes.claim(Some(&session.into())).unwrap();
        if lanes.tokens(id).is_empty() {
            assert!(lanes.append(id, &tokens([1])));
        }
        lanes.release(id);
        (id.0, own)
    }

    #[test]
    fn a_session_keeps_its_lane_and_the_oldest_is_evicted() {
        let mut lanes = Lanes::new(2, 8, Layout::Pooled { cells: 16 });
        assert_eq!(use_once(&mut lanes, "a"), (0, false));
        assert_eq!(use_once(&mut lanes, "b"), (1, false));
        assert_eq!(use_once(&mut lanes, "a"), (0, true));
        assert_eq!(use_once(&mut lanes, "c"), (1, false), "b was not used for longest");
        assert_eq!(use_once(&mut lanes, "a"), (0, true));
    }

    #[test]
    fn two_requests_of_a_session_at_once_have_two_lanes_and_one_name() {
        let mut lanes = Lanes::new(2, 8, Layout::Pooled { cells: 16 });
        let name = SessionId::new("a");
        let (first, _) = lanes.claim(Some(&name)).unwrap();
        let (second, own) = lanes.claim(Some(&name)).unwrap();
        assert!(first != second && !own && lanes.is_nameless(second));
        assert_eq!(lanes.claim(None), None);
        lanes.release(first);
        assert_eq!(lanes.of_session(&name), Some(first));
    }

    proptest! {
        #[test]
        fn the_ledger_agrees_with_a_recount_whatever_is_done(
            steps in proptest::collection::vec((0..4_u16, 0..4_u16, 0..6_usize, 0..4_u8), 1..80),
        ) {
            let mut lanes = Lanes::new(4, 12, Layout::Pooled { cells: 20 });
            for (a, b, n, what) in steps {
                let (a, b) = (LaneId(a), LaneId(b));
                match what {
                    0 => {
                        let fits = lanes.fits(a, n);
                        prop_assert_eq!(lanes.append(a, &tokens((0..6).take(n))), fits);
                    }
                    1 => lanes.truncate(a, n),
                    2 if a != b && lanes.tokens(b).is_empty() => {
                        let length = n.min(lanes.tokens(a).len());
                        lanes.share(a, b, length);
                    }
                    _ => drop(lanes.claim(None)),
                }
                let held: BTreeSet<usize> =
                    lanes.lanes.iter().flat_map(|lane| lane.cells.clone()).collect();
                prop_assert_eq!(lanes.free(), 20 - held.len());
                for lane in &lanes.lanes {
                    prop_assert_eq!(lane.tokens.len(), lane.cells.len());
                }
                let busy: BTreeSet<usize> = lanes.lanes.iter().filter(|lane| lane.busy)
                    .flat_map(|lane| lane.cells.clone()).collect();
                prop_assert_eq!(lanes.reclaimable(), 20 - busy.len());
            }
        }
    }
}
