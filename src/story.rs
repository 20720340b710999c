//! How things look on a terminal: headings, bars, tables. Colour only where it is wanted
//! (`NO_COLOR`, pipes), decided by `anstream`.

use marque_policies::{Mark, Row};
use owo_colors::OwoColorize as _;
use std::{
    fmt,
    io::{self, Write as _},
    sync::OnceLock,
};

/// Prints a line to the terminal's standard output, without colour where it is none.
macro_rules! say {
    ($($text:tt)*) => { $crate::story::line(format_args!($($text)*)) };
}
pub(crate) use say;

/// The first error of writing to standard output.
static UNWRITTEN: OnceLock<io::Error> = OnceLock::new();

/// What [`say!`] prints.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    heard(writeln!(anstream::stdout(), "{text}"));
}

/// Prints a text of several lines as it is.
pub(crate) fn print(text: impl fmt::Display) {
    let mut out = anstream::stdout();
    heard(write!(out, "{text}").and_then(|()| out.flush()));
}

/// Whoever reads may have gone (`| head`), and the command goes on all the same; what else was not
/// written is told at its end.
fn heard(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        UNWRITTEN.get_or_init(|| error);
    }
}

/// Why something of what was printed did not arrive.
pub(crate) fn unwritten() -> Option<&'static io::Error> {
    UNWRITTEN.get()
}

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

/// Something that works, and deserves a look.
pub(crate) fn odd(text: &str) {
    say!("  {} {text}", "!".yellow());
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
pub(crate) fn short(hash: impl fmt::Display) -> String {
    let text = hash.to_string();
    match (text.get(..8), text.len().checked_sub(6).and_then(|at| text.get(at..))) {
        (Some(head), Some(tail)) if text.len() > 16 => format!("{head}…{tail}"),
        _ => text,
    }
}

/// The longest text of somebody else's that is shown, in characters.
const LONGEST: usize = 600;

/// Somebody else's words, made harmless for a terminal: one line, no control or direction marks,
/// not longer than a reader can take in.
pub(crate) fn harmless(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => escaped(text.get(..end).unwrap_or_default()) + "…",
        None => escaped(text),
    }
}

/// The same, whole.
pub(crate) fn escaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if is_plain(c) {
            plain.push(c);
        } else {
            plain.extend(c.escape_debug());
        }
    }
    plain
}

/// JSON that says the same without a control or direction mark.
pub(crate) fn plain_json(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    for c in json.chars() {
        if is_plain(c) {
            plain.push(c);
        } else {
            // Those below U+0020 are escaped in JSON already, so this stands inside of a string.
            for unit in c.encode_utf16(&mut [0; 2]) {
                plain.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    plain
}

/// Whether a character does nothing to a terminal but to stand there.
fn is_plain(c: char) -> bool {
    matches!(c, '"' | '\'' | '\\') || c.escape_debug().len() == 1
}

/// Something on the side, which may hold somebody else's words.
pub(crate) fn note(text: &str) {
    anstream::eprintln!("note: {}", harmless(text));
}

/// Somebody else's words, in quotes, with how much of them is not shown.
pub(crate) fn quoted(text: &str) -> String {
    let more = text.chars().count().saturating_sub(LONGEST);
    let rest = if more > 0 { format!(" and {more} characters more") } else { String::new() };
    format!("\"{}\"{rest}", harmless(text).replace('"', "\\u{22}"))
}

/// A number of bytes, as people say it: `512 bytes`, `1.0 MiB`.
pub(crate) fn bytes(number: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one digit after the point is shown")]
    let count = number as f64;
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.into_iter().find(|(_, power)| number >> power > 0) {
        Some((unit, power)) => format!("{:.1} {unit}", count / 2_f64.powi(power)),
        None => format!("{number} bytes"),
    }
}

/// A time span in milliseconds, as people say it: `3 min`, `23 h 10 min`.
pub(crate) fn span(millis: u64) -> String {
    let seconds = millis / 1_000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let two = |a: u64, a_unit: &str, b: u64, b_unit: &str| match b {
        0 => format!("{a} {a_unit}"),
        b => format!("{a} {a_unit} {b} {b_unit}"),
    };
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => two(hours, "h", minutes, "min"),
        (days, hours, _) => two(days, "d", hours, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes, harmless, quoted, span};

    #[test]
    fn a_quotation_cannot_end_itself_and_says_what_it_leaves_out() {
        assert_eq!(quoted(r#"a\" b"#), r#""a\\u{22} b""#);
        assert!(quoted(&"x".repeat(700)).ends_with("x…\" and 100 characters more"));
    }

    #[test]
    fn bytes_read_as_people_say_them() {
        let said = [0, 1_023, 1_024, 1_536 << 10, 5 << 30].map(bytes);
        assert_eq!(said, ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 MiB", "5.0 GiB"]);
    }

    #[test]
    fn spans_read_as_people_say_them() {
        let said = [4_000, 61_000, 3_600_000, 5_430_000, 90_000_000].map(span);
        assert_eq!(said, ["4 s", "1 min", "1 h", "1 h 30 min", "1 d 1 h"]);
    }

    #[test]
    fn a_minds_words_cannot_rewrite_the_owners_screen() {
        assert_eq!(harmless("https://shop.example/a?q=\"ü\""), "https://shop.example/a?q=\"ü\"");
        let shown = harmless("x\r\u{1b}[2Kpay\u{202e}1\u{9b}2\n\u{2028}y");
        assert_eq!(shown, r"x\r\u{1b}[2Kpay\u{202e}1\u{9b}2\n\u{2028}y");
        assert_eq!(harmless(&" ".repeat(10_000)).chars().count(), 601);
    }
}
