//! Which session owns which sequence of the KV cache, and what that sequence holds.
//!
//! INVARIANT: a slot's tokens are exactly those that the KV cache holds for its sequence, at the
//! positions 0, 1, 2, ...; the engine changes both together.

use std::cmp::Reverse;

use llama_cpp_2::token::LlamaToken;

use crate::model::SessionId;

/// The sequences of one context.
pub(crate) struct Sequences {
    slots: Vec<Slot>,
    clock: u64,
}

/// One sequence.
pub(crate) struct Slot {
    /// The sequence id, below the number that the context was made for.
    pub(crate) id: u16,
    /// What the KV cache holds.
    pub(crate) tokens: Vec<LlamaToken>,
    session: Option<SessionId>,
    used: u64,
}

impl Sequences {
    /// `count` empty sequences; at least one.
    pub(crate) fn new(count: u16) -> Self {
        let slots = (0..count.max(1))
            .map(|id| Slot { id, tokens: Vec::new(), session: None, used: 0 })
            .collect();
        Self { slots, clock: 0 }
    }

    /// The sequence of a session: its own, else a free one, else the one not used for longest.
    ///
    /// The slot may still hold the tokens of another session; [`Claim::reusable`] says how many
    /// count.
    pub(crate) fn claim(&mut self, session: Option<&SessionId>) -> Option<Claim<'_>> {
        self.clock = self.clock.saturating_add(1);
        let clock = self.clock;
        let own = |slot: &Slot| session.is_some() && slot.session.as_ref() == session;
        let slot = self.slots.iter_mut().max_by_key(|slot| {
            (own(slot), slot.session.is_none(), Reverse(slot.used), Reverse(slot.id))
        })?;
        let warm = own(slot);
        slot.session = session.cloned();
        slot.used = clock;
        Some(Claim { slot, warm })
    }
}

/// A sequence for one request.
pub(crate) struct Claim<'a> {
    pub(crate) slot: &'a mut Slot,
    /// Whether its tokens are those of the same session.
    warm: bool,
}

impl Claim<'_> {
    /// How many tokens at the start of `prompt` need no computation. The last one always does,
    /// because its logits choose the next.
    pub(crate) fn reusable(&self, prompt: &[LlamaToken]) -> usize {
        if !self.warm {
            return 0;
        }
        let common = self.slot.tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        common.min(prompt.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(sequences: &mut Sequences, session: &str) -> u16 {
        sequences.claim(Some(&session.into())).unwrap().slot.id
    }

    fn tokens(ids: &[i32]) -> Vec<LlamaToken> {
        ids.iter().map(|&id| LlamaToken(id)).collect()
    }

    #[test]
    fn a_session_keeps_its_sequence_and_the_oldest_is_evicted() {
        let mut sequences = Sequences::new(2);
        assert_eq!(claim(&mut sequences, "a"), 0);
        assert_eq!(claim(&mut sequences, "b"), 1);
        assert_eq!(claim(&mut sequences, "a"), 0);
        assert_eq!(claim(&mut sequences, "c"), 1, "b was not used for longest");
        assert_eq!(claim(&mut sequences, "a"), 0);
    }

    #[test]
    fn a_request_without_a_session_leaves_its_sequence_free() {
        let mut sequences = Sequences::new(2);
        assert_eq!(claim(&mut sequences, "a"), 0);
        for _ in 0..3 {
            assert_eq!(sequences.claim(None).unwrap().slot.id, 1);
        }
        assert_eq!(claim(&mut sequences, "b"), 1);
    }

    #[test]
    fn only_the_common_start_of_the_same_session_is_reused() {
        let mut sequences = Sequences::new(1);
        let session = SessionId::new("a");
        sequences.claim(Some(&session)).unwrap().slot.tokens = tokens(&[1, 2, 3, 4]);
        let claim = sequences.claim(Some(&session)).unwrap();
        assert_eq!(claim.reusable(&tokens(&[1, 2, 9, 9])), 2);
        assert_eq!(claim.reusable(&tokens(&[1, 2, 3])), 2, "the last token is computed again");
        assert_eq!(claim.reusable(&[]), 0);
        let other = sequences.claim(Some(&"b".into())).unwrap();
        assert_eq!(other.reusable(&tokens(&[1, 2, 3, 4])), 0);
    }
}
