//! Letters that an editor does not show as they are.

use crate::error::{PolicyError, Source};

/// Refuses what an editor does not show as it is: control characters, letters without a shape, and
/// marks that turn the direction of writing around. The mark with which some editors begin a file
/// may stand at its beginning where `begins` says so.
pub(crate) fn harmless(source: Source<'_>, begins: Option<char>) -> Result<(), PolicyError> {
    let mut letters = source.text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        let line_end = letter == '\r' && letters.peek().is_some_and(|(_, next)| *next == '\n');
        let begin = at == 0 && Some(letter) == begins;
        if is_hidden(letter) && !matches!(letter, '\n' | '\t') && !line_end && !begin {
            let message = format!("a hidden character, {}", letter.escape_unicode());
            let span = at..at + letter.len_utf8();
            return Err(source.meaning(
                span,
                message,
                "take it out; it makes the text look other than it is",
            ));
        }
    }
    Ok(())
}

/// Whether a letter changes how a text looks without being seen itself.
pub(crate) fn is_hidden(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
