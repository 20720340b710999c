//! How things look on a terminal: headings, bars, tables. Colour only where it is wanted
//! (`NO_COLOR`, pipes), decided by `anstream`.

use marque_policies::{Mark, Row};
use owo_colors::OwoColorize as _;

/// Prints a line to the terminal's standard output, without colour where it is none.
macro_rules! say {
    ($($text:tt)*) => { anstream::println!($($text)*) };
}
pub(crate) use say;

/// A chapter's heading.
pub(crate) fn chapter(title: &str) {
    say!("\n{}", title.bold());
}

/// Something that happened.
pub(crate) fn good(text: &str) {
    say!("  {} {text}", "✓".green());
}

/// Something that was stopped, as it should be.
pub(crate) fn stopped(text: &str) {
    say!("  {} {text}", "■".red());
}

/// A quiet detail under a line.
pub(crate) fn detail(text: &str) {
    say!("    {}", text.dimmed());
}

/// `spent / limit` as a bar of twenty cells.
pub(crate) fn bar(part: f64) -> String {
    const CELLS: usize = 20;
    let part = part.clamp(0.0, 1.0);
    // In 0..=CELLS by the clamp.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped above")]
    let full = (part * CELLS as f64).round() as usize;
    format!("{}{}", "█".repeat(full), "░".repeat(CELLS - full))
}

/// The rows of a verdict that did not pass, one a line, with what would make them pass.
pub(crate) fn reasons(table: &[Row]) -> Vec<String> {
    table
        .iter()
        .filter(|row| row.mark != Mark::Pass)
        .map(|row| format!("{}: {}, limit {}", row.rule, row.measured, row.limit))
        .collect()
}

/// The first and last bytes of a hash or address, as people compare them.
pub(crate) fn short(hash: impl std::fmt::Display) -> String {
    let text = hash.to_string();
    match (text.get(..8), text.len().checked_sub(6).and_then(|at| text.get(at..))) {
        (Some(head), Some(tail)) if text.len() > 16 => format!("{head}…{tail}"),
        _ => text,
    }
}

/// Somebody else's words, made harmless for a terminal: one line, no control or direction marks,
/// not longer than a reader can take in.
pub(crate) fn harmless(text: &str) -> String {
    const LONGEST: usize = 600;
    let mut plain = String::new();
    for (index, c) in text.chars().enumerate() {
        if index == LONGEST {
            plain.push('…');
            break;
        }
        if matches!(c, '"' | '\'' | '\\') || c.escape_debug().len() == 1 {
            plain.push(c);
        } else {
            plain.extend(c.escape_debug());
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn a_minds_words_cannot_rewrite_the_owners_screen() {
        assert_eq!(harmless("https://shop.example/a?q=\"ü\""), "https://shop.example/a?q=\"ü\"");
        let shown = harmless("x\r\u{1b}[2Kpay\u{202e}1\u{9b}2\n\u{2028}y");
        assert_eq!(shown, r"x\r\u{1b}[2Kpay\u{202e}1\u{9b}2\n\u{2028}y");
        assert_eq!(harmless(&" ".repeat(10_000)).chars().count(), 601);
    }
}
