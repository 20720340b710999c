//! How the prompts that are being read share what a batch has room for.
//!
//! INVARIANT: while there is room for a token, the oldest prompt gets one, so that every batch
//! brings the oldest request on (`whatever_is_shared_the_oldest_gets_some`). The others get theirs
//! in turn.

/// Shares `room` tokens among `prompts`, each of which has so many tokens left; the first is the
/// oldest. `turn` says which of the others comes first this time. Returns what each gets, in the
/// order of `prompts`.
pub(crate) fn share(room: usize, prompts: &[usize], turn: usize) -> Vec<usize> {
    let mut got = vec![0; prompts.len()];
    let others = prompts.len().saturating_sub(1);
    let first = turn.checked_rem(others).unwrap_or(0);
    let in_turn = (1..prompts.len()).cycle().skip(first).take(others);
    let order: Vec<usize> = (0..prompts.len().min(1)).chain(in_turn).collect();
    let fair = room.checked_div(prompts.len()).unwrap_or(0).max(1);
    let mut room = room;
    // What short prompts leave goes to the others.
    for most in [fair, usize::MAX] {
        for at in &order {
            let (Some(got), Some(left)) = (got.get_mut(*at), prompts.get(*at)) else { continue };
            let tokens = left.saturating_sub(*got).min(most).min(room);
            *got = got.saturating_add(tokens);
            room = room.saturating_sub(tokens);
        }
    }
    got
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn long_prompts_take_what_short_ones_leave_and_turns_go_round() {
        assert_eq!(share(64, &[100, 4, 100], 0), [39, 4, 21]);
        assert_eq!(share(2, &[9, 9, 9, 9], 0), [1, 1, 0, 0]);
        assert_eq!(share(2, &[9, 9, 9, 9], 1), [1, 0, 1, 0]);
        assert_eq!(share(2, &[9, 9, 9, 9], 2), [1, 0, 0, 1]);
        assert_eq!(share(8, &[], 3), [0; 0]);
    }

    proptest! {
        #[test]
        fn whatever_is_shared_the_oldest_gets_some(
            room in 0..600_usize,
            prompts in proptest::collection::vec(2..900_usize, 1..64),
            turn in 0..1_000_usize,
        ) {
            let got = share(room, &prompts, turn);
            prop_assert_eq!(got.len(), prompts.len());
            prop_assert!(got[0] >= 1 || room == 0);
            prop_assert!(got.iter().zip(&prompts).all(|(got, left)| got <= left));
            let wanted: usize = prompts.iter().sum();
            prop_assert_eq!(got.iter().sum::<usize>(), room.min(wanted), "nothing is left over");
            // Nobody goes without as long as there is a token for each.
            prop_assert!(room < prompts.len() || got.iter().all(|got| *got >= 1));
        }

        #[test]
        fn everybody_has_a_turn(count in 2..64_usize, room in 2..64_usize) {
            let prompts = vec![900; count];
            let mut had = vec![0; count];
            for turn in 0..count {
                for (had, got) in had.iter_mut().zip(share(room, &prompts, turn)) {
                    *had += got;
                }
            }
            prop_assert!(had.iter().all(|had| *had >= 1), "{had:?}");
        }
    }
}
