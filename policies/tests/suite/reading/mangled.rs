//! No text makes the reader panic, and whatever it says is one clear line with a place.

use super::*;
use crate::support::{Dice, Trials};
use marque_policies::parse;

/// Pieces of the language, and of what it is not.
const PIECES: [&str; 60] = [
    "",
    "\n",
    " ",
    "\"",
    "'",
    "=",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    ",",
    ".",
    "#",
    "\\",
    "\u{0}",
    "\u{7f}",
    "é",
    "\u{1F980}",
    "\u{202e}",
    "0",
    "-1",
    "1e9",
    "1.5",
    "true",
    "nan",
    "0x",
    "0xff",
    "99999999999999999999",
    "18446744073709551615",
    "-9223372036854775808",
    "\"\"",
    "\" \"",
    "\"0\"",
    "\"1 USDC\"",
    "\"0.0000001\"",
    "\"1 ETH\"",
    "[]",
    "{}",
    "[\"\"]",
    "[[]]",
    "2027-06-30T00:00:00Z",
    "2027-06-30",
    "0000-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "\"mon-fri 08:00-18:00\"",
    "\"24:00-24:00\"",
    "\"ask\"",
    "\"allow\"",
    "[owner]",
    "[limits.gas]",
    "[task.limits.ETH]",
    "[pool.ETH]",
    "[category.gas]",
    "\n[[payee]]\n",
    "\n[[tool]]\n",
    "\n[[test]]\n",
    "[sub_agent.x]",
    "permit (principal, action, resource);",
];

/// Cuts something out of a text and puts something in, some times over.
fn mangle(dice: &mut Dice, text: &str) -> String {
    let mut text: Vec<char> = text.chars().collect();
    for _ in 0..=dice.below(3) {
        let at = usize::try_from(dice.below(text.len() as u64 + 1)).unwrap();
        let length = *dice.pick(&[0, 1, 3, 12, 80]);
        let end = (at + length).min(text.len());
        let insert: Vec<char> = if dice.percent(30) {
            // A piece of itself.
            let from = usize::try_from(dice.below(text.len() as u64 + 1)).unwrap();
            let until = (from + length).min(text.len());
            text.iter().take(until).skip(from).copied().collect()
        } else {
            dice.pick(&PIECES).chars().collect()
        };
        text.splice(at..end, insert);
    }
    text.into_iter().collect()
}

/// Puts another value, a piece or another one of the document, behind one `=`.
fn another_value(dice: &mut Dice, text: &str) -> String {
    let valued: Vec<(&str, &str)> =
        text.lines().filter_map(|line| line.split_once(" = ")).collect();
    let ((key, old), (_, other)) = (*dice.pick(&valued), *dice.pick(&valued));
    let value = if dice.percent(50) { other } else { *dice.pick(&PIECES) };
    let text = text.replacen(&format!("{key} = {old}"), &format!("{key} = {value}"), 1);
    // Now and then one line less, or one twice.
    let lines = text.lines().count() as u64;
    let line = dice.below(lines * 5);
    let times = if dice.percent(50) { 0 } else { 2 };
    let kept = (0..)
        .zip(text.lines())
        .flat_map(|(at, text)| std::iter::repeat_n(text, if at == line { times } else { 1 }));
    kept.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_mangled_policy_of_every_construct_is_read_without_a_panic() {
    let trials = Trials::new("mangled policies", 1_000);
    let mut good = 0;
    for case in 0..trials.cases {
        let mut dice = trials.dice(case);
        let mut sources = if dice.percent(30) { in_one() } else { in_two() };
        let chosen = dice.below(3);
        if chosen != 1 || dice.percent(70) {
            // Forbids take long to validate.
            sources.cedar = None;
        }
        let document = match (chosen, sources.owner.as_mut(), sources.cedar.as_mut()) {
            (0, Some(owner), _) => owner,
            (1, _, Some(cedar)) => cedar,
            _ => &mut sources.policy,
        };
        let toml = document.contains("format");
        *document = if toml && dice.percent(50) {
            another_value(&mut dice, document)
        } else {
            mangle(&mut dice, document)
        };
        let place =
            || format!("case {case}, MARQUE_SEED={:x}\n{}", trials.seed, sources.document());
        match std::panic::catch_unwind(|| compile(&sources)) {
            Err(_) => panic!("{}", place()),
            Ok(Ok((policy, warnings))) => {
                good += 1;
                for warning in warnings {
                    let said = warning.to_string();
                    assert!(!said.contains(char::is_control), "{said:?} {}", place());
                }
                assert_eq!(parse(&sources.document()).unwrap().0, policy, "{}", place());
            }
            Ok(Err(error)) => {
                let mistake = error.mistake();
                assert!(mistake.help.is_some() && mistake.line >= 1 && mistake.column >= 1);
                let said = error.to_string();
                assert!(!said.contains(char::is_control), "{said:?} {}", place());
                assert!(!said.is_empty() && !said.ends_with('.'), "{said} {}", place());
            }
        }
    }
    assert!(trials.cases < 100 || good > trials.cases / 50, "{good} of {} read", trials.cases);
}

#[test]
fn a_mangled_carrying_text_is_read_without_a_panic() {
    let trials = Trials::new("mangled carriers", 300);
    let text = in_two().document();
    for case in 0..trials.cases {
        let mangled = mangle(&mut trials.dice(case), &text);
        let done = std::panic::catch_unwind(|| {
            // Whatever is read is carried by that very text.
            if let Ok(sources) = Sources::read(&mangled) {
                assert_eq!(sources.document(), mangled);
            }
            parse(&mangled).is_ok()
        });
        assert!(done.is_ok(), "case {case}, MARQUE_SEED={:x}\n{mangled}", trials.seed);
    }
}
