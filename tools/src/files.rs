//! `read_file` and `write_file`: text files in the folder that the owner granted, `[files]` in
//! `agent.toml`.
//!
//! Whoever else writes there is not known, so what is read counts as remembered, and what this agent
//! wrote there keeps the labels of what it was made from.

use crate::text::beginning;
use marque_agent_core::{Cx, ToolError};
use marque_macros::tool;
use serde::Serialize;

/// Characters of a file that are shown at once.
const SHOWN: usize = 1_000;
/// The longest text that is written at once, in characters.
const WRITTEN: usize = 64 * 1024;

/// What [`read_file`] answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileText {
    /// The text from the line on that was asked for, cut where it is too long.
    pub text: String,
    /// Where to read on if that is not all of it: a `path` for this tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more: Option<String>,
}

/// What [`write_file`] answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Written {
    /// The path.
    pub written: String,
    /// Bytes in it now.
    pub bytes: usize,
}

/// Reads a text file in the granted folder, from a line on where the path ends in `:LINE`.
///
/// # Errors
/// As for [`Cx::read_file`], and [`ToolError::Failed`] for what is no UTF-8.
#[tool(crate = marque_agent_core, description = "read a text file of the granted folder")]
pub async fn read_file(
    cx: &Cx,
    /// such as "reports/wind.txt", or "reports/wind.txt:200" to begin at line 200
    path: String,
) -> Result<FileText, ToolError> {
    let (path, line) = at_line(&path);
    let bytes = cx.read_file(path).await?;
    let text = String::from_utf8(bytes)
        .map_err(|_| ToolError::Failed(format!("{path} is no text").into()))?;
    Ok(shown(path, &text, line))
}

/// Writes a text file in the granted folder, in place of one that is there.
///
/// # Errors
/// As for [`Cx::write_file`], and [`ToolError::Arguments`] for more than 65,536 characters.
#[tool(crate = marque_agent_core, description = "write a text file in the granted folder")]
pub async fn write_file(
    cx: &Cx,
    /// such as "reports/wind.txt"
    path: String,
    /// the whole of the file
    text: String,
) -> Result<Written, ToolError> {
    let length = text.chars().count();
    if length > WRITTEN {
        let why = format!("the text has {length} characters; at most {WRITTEN} are written");
        return Err(ToolError::Arguments(why));
    }
    nameable(&path)?;
    let bytes = text.len();
    cx.write_file(&path, text.into_bytes()).await?;
    Ok(Written { written: path, bytes })
}

/// Refuses a name that [`read_file`] would take for another and a line.
fn nameable(path: &str) -> Result<(), ToolError> {
    match at_line(path) {
        (whole, 1) if whole == path => Ok(()),
        _ => Err(ToolError::Arguments(format!("{path:?} ends like a line; no file is named so"))),
    }
}

/// A path and the line after its last colon, counted from 1.
fn at_line(path: &str) -> (&str, usize) {
    let parts = path.rsplit_once(':');
    match parts.and_then(|(path, line)| Some((path, line.parse::<usize>().ok()?))) {
        Some((path, line)) => (path, line.max(1)),
        None => (path, 1),
    }
}

/// As many whole lines as may be shown, or a part of the first.
fn shown(path: &str, text: &str, line: usize) -> FileText {
    let mut part = String::new();
    let mut next = line;
    for each in text.lines().skip(line.saturating_sub(1)) {
        let each: String = each.chars().filter(|c| !c.is_control() || *c == '\t').collect();
        if next > line && part.chars().count().saturating_add(each.chars().count()) > SHOWN {
            break;
        }
        part.push_str(&each);
        part.push('\n');
        next = next.saturating_add(1);
    }
    let whole = text.lines().nth(next.saturating_sub(1)).is_none();
    FileText {
        text: beginning(part.trim_end(), SHOWN),
        more: (!whole).then(|| format!("{path}:{next}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_read_on_line_by_line_and_nothing_is_left_out() {
        let text: String = (1..=500).map(|line| format!("line {line}\n")).collect();
        let (mut read, mut at) = (String::new(), "log.txt".to_owned());
        loop {
            let (path, line) = at_line(&at);
            assert_eq!(path, "log.txt");
            let FileText { text: part, more } = shown(path, &text, line);
            assert!(part.chars().count() <= SHOWN);
            read.push_str(&part);
            read.push('\n');
            let Some(more) = more else { break };
            at = more;
        }
        assert_eq!(read, text);
    }

    #[test]
    fn a_line_that_is_too_long_alone_is_cut() {
        let text = format!("{}\nnext\n", "x".repeat(5_000));
        let part = shown("log", &text, 1);
        assert_eq!(part.text.chars().count(), SHOWN + 1);
        assert_eq!(part.more.as_deref(), Some("log:2"));
        assert_eq!(shown("log", &text, 2).more, None);
        assert_eq!(shown("log", &text, 99), FileText { text: String::new(), more: None });
    }

    #[test]
    fn a_colon_belongs_to_the_name_where_no_number_follows() {
        assert_eq!(at_line("a:b"), ("a:b", 1));
        assert_eq!(at_line("a:0"), ("a", 1));
        assert_eq!(at_line("a:b:12"), ("a:b", 12));
        assert!(nameable("a:b").is_ok() && nameable("wind.txt").is_ok());
        for path in ["a:1", "a:0", "a:b:12"] {
            assert!(nameable(path).unwrap_err().to_string().contains("ends like a line"), "{path}");
        }
    }
}
