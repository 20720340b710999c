//! What a body says, as text: HTML rendered, JSON picked from, and the part of a long text that a few
//! words ask for.
//!
//! All of it was written by strangers. What is done with it takes time and room in proportion to its
//! length, whatever is in it: pages nest without end, and a path could ask for a list of lists of
//! lists.

mod html;

use html::of_html;
use marque_agent_core::ToolError;
use serde_json::Value;
use serde_json_path::JsonPath;
use std::collections::BTreeSet;

/// The longest body that is read, in bytes.
const BODY: usize = 1024 * 1024;
/// The longest text that is made of one or picked from, in bytes.
pub(crate) const LONGEST: usize = 2 * 1024 * 1024;
/// The longest wish for a part, in bytes.
const PICK: usize = 200;

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Html,
    Json,
    Plain,
}

/// The whole of a body as text.
pub(crate) fn of_body(body: &[u8], content_type: Option<&str>) -> Result<String, ToolError> {
    if body.len() > BODY {
        return Err(failed(format!("it has {} bytes; at most {BODY} are read", body.len())));
    }
    let text = String::from_utf8_lossy(body);
    match kind(&text, content_type)? {
        Kind::Html => of_html(&text),
        Kind::Json | Kind::Plain => Ok(text.chars().filter(|c| fits(*c)).collect()),
    }
}

/// What the sender says that it is, or what it looks like where nothing is said.
fn kind(text: &str, content_type: Option<&str>) -> Result<Kind, ToolError> {
    let said = content_type.map(|said| said.split(';').next().unwrap_or_default().trim());
    let said = said.map(str::to_ascii_lowercase);
    match said.as_deref() {
        Some("text/html" | "application/xhtml+xml") => Ok(Kind::Html),
        Some("application/json") => Ok(Kind::Json),
        Some(json) if json.ends_with("+json") => Ok(Kind::Json),
        Some(plain) if plain.starts_with("text/") || plain.ends_with("xml") => Ok(Kind::Plain),
        Some("application/x-ndjson" | "application/yaml" | "application/toml") => Ok(Kind::Plain),
        None | Some("") => {
            let start = text.trim_start().get(..15).unwrap_or_default().to_ascii_lowercase();
            let html = start.starts_with("<!doctype html") || start.starts_with("<html");
            match text.contains('\0') {
                true => Err(failed("it is no text".to_owned())),
                false => Ok(if html { Kind::Html } else { Kind::Plain }),
            }
        }
        Some(other) => {
            let other: String = other.chars().filter(|c| !c.is_control()).take(60).collect();
            Err(failed(format!("{other} cannot be read as text")))
        }
    }
}

/// Whether a character may stand in what a model and a terminal are shown.
fn fits(c: char) -> bool {
    !c.is_control() || matches!(c, '\n' | '\t')
}

/// The part that was asked for: of JSON by an RFC 9535 path, which begins with `$`; otherwise the lines
/// that have most of the words.
pub(crate) fn picked(text: &str, pick: &str) -> Result<String, ToolError> {
    let pick = pick.trim();
    if pick.len() > PICK {
        return Err(ToolError::Arguments(format!("pick is longer than {PICK} bytes")));
    }
    match pick.starts_with('$') {
        true => by_path(text, pick),
        false => by_words(text, pick),
    }
}

fn by_path(text: &str, path: &str) -> Result<String, ToolError> {
    let wrong = |why: &str| ToolError::Arguments(format!("pick {path:?}: {why}"));
    let json: Value = serde_json::from_str(text)
        .map_err(|_| wrong("what was read is no JSON; pick by words instead of a path"))?;
    simple(path).map_err(wrong)?;
    let parsed = JsonPath::parse(path).map_err(|error| wrong(error.message()))?;
    let found = parsed.query(&json).all();
    match &found[..] {
        [] => Err(wrong(&format!("nothing is there; {}", shape(&json)))),
        [Value::String(text)] => Ok(text.chars().filter(|c| fits(*c)).collect()),
        [one] => Ok(one.to_string()),
        several => written(several).ok_or_else(|| wrong("that is more than all there is")),
    }
}

/// Values as JSON, unless they are longer than a body: what stands deep is in each that it stands in.
fn written(values: &[&Value]) -> Option<String> {
    let mut room = vec![0_u8; BODY];
    let mut left = room.as_mut_slice();
    serde_json::to_writer(&mut left, values).ok()?;
    let rest = left.len();
    room.truncate(BODY.saturating_sub(rest));
    String::from_utf8(room).ok()
}

/// Refuses what could ask for more than there is: each list of several selectors, and each descent,
/// can name the same value many times over.
fn simple(path: &str) -> Result<(), &'static str> {
    let (mut quote, mut escaped) = (None, false);
    let (mut lists, mut roots, mut descents, mut last) = (0_u32, 0_u32, 0_u32, ' ');
    for c in path.chars() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None => match c {
                '\'' | '"' => quote = Some(c),
                ',' => lists = lists.saturating_add(1),
                '$' => roots = roots.saturating_add(1),
                '.' if last == '.' => descents = descents.saturating_add(1),
                _ => {}
            },
        }
        last = c;
    }
    match (lists, roots, descents) {
        (0..=3, 0..=1, 0) | (0, 0..=1, 1) => Ok(()),
        _ => Err("it may have one \"$\", and either one \"..\" or three commas"),
    }
}

/// What there is instead, so that the next path can be a better one.
fn shape(json: &Value) -> String {
    match json {
        Value::Object(map) => {
            let keys: Vec<&str> = map.keys().take(12).map(String::as_str).collect();
            format!("there is {}", keys.join(", ").chars().take(200).collect::<String>())
        }
        Value::Array(items) => format!("there is a list of {}", items.len()),
        _ => "there is one value".to_owned(),
    }
}

/// The lines with most of the words, in their order, each with the line after it.
fn by_words(text: &str, wish: &str) -> Result<String, ToolError> {
    let wanted: BTreeSet<String> = words(wish).collect();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let count = |line: &&str| words(line).collect::<BTreeSet<_>>().intersection(&wanted).count();
    let scores: Vec<usize> = lines.iter().map(count).collect();
    let best = scores.iter().copied().max().unwrap_or_default();
    if best == 0 {
        return Err(ToolError::Arguments("pick: nothing that was read has these words".to_owned()));
    }
    let mut shown = String::new();
    let mut after = false;
    for (line, score) in lines.iter().zip(&scores) {
        if *score == best || after {
            shown.push_str(line.trim());
            shown.push('\n');
        }
        after = *score == best;
    }
    shown.truncate(shown.trim_end().len());
    Ok(shown)
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

/// The first `most` characters, and an ellipsis where there is more.
pub(crate) fn beginning(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default().trim_end()),
        None => text.to_owned(),
    }
}

pub(crate) fn failed(why: String) -> ToolError {
    ToolError::Failed(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    const PAGE: &str = "<!doctype html><html><head><title>Wind</title><style>p{color:red}</style>\
        <script>alert('pay Mallory')</script></head><body><h1>Azores</h1><p>Wind at <b>Horta</b>: 14 \
        knots.</p><ul><li>Flores 9</li><li>Angra 11</li></ul><p>See <a href='/x'>more</a></p></body>";

    fn html(text: &str) -> String {
        of_body(text.as_bytes(), Some("text/html; charset=utf-8")).unwrap()
    }

    #[test]
    fn a_page_is_read_as_a_person_sees_it() {
        let text = html(PAGE);
        assert!(text.contains("Azores") && text.contains("Wind at Horta: 14 knots."), "{text}");
        assert!(text.contains("Flores 9") && text.contains("more"), "{text}");
        assert!(!text.contains("alert") && !text.contains("color"), "{text}");
        assert_eq!(of_body(PAGE.as_bytes(), None).unwrap(), text, "it looks like HTML");
    }

    #[test]
    fn what_is_no_text_or_too_much_of_it_is_refused() {
        for (body, kind, why) in [
            (&b"\x89PNG"[..], Some("image/png"), "image/png cannot be read"),
            (b"%PDF", Some("application/pdf"), "application/pdf cannot be read"),
            (b"a\0b", None, "no text"),
            (&vec![b'x'; BODY + 1], Some("text/plain"), "at most"),
        ] {
            let error = of_body(body, kind).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert_eq!(of_body(b"a\x1b[31mb\xff", Some("text/plain")).unwrap(), "a[31mb\u{fffd}");
    }

    #[test]
    fn a_page_that_nests_without_end_costs_nothing() {
        let begun = Instant::now();
        let full = |tag: &str| tag.repeat(BODY / tag.len());
        for (page, why) in [
            (full("<div>"), "deep"),
            (full("<path/>"), "deep"),
            (full("<div/><p>"), "deep"),
            (full("<table><tr><td>"), "deep"),
            (full("<b>"), "deep"),
            (full("<ul><li>"), "deep"),
            (full("<blockquote>"), "deep"),
            // What looks like an end is none.
            (full("<div></x>"), "deep"),
            (full("<b></i>"), "deep"),
            (full("<div><!--</x>-->"), "deep"),
            (full("<div a='</x>'>"), "deep"),
            (full("<p>"), "more than"),
            (full("<li>x"), "more than"),
            (full("<!---->"), "more than"),
            // Each paragraph has all of the bold ones again.
            (strongs(200) + &"<p>x".repeat(BODY / 8), "more than"),
            // Each looks for its place before the table.
            (full("<table><i></i>"), "broken"),
        ] {
            let start: String = page.chars().take(30).collect();
            let error = of_body(page.as_bytes(), Some("text/html")).unwrap_err().to_string();
            assert!(error.contains(why), "{start}: {error}");
        }
        // The bound is far above what this takes alone, for the machines that have other things to do.
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    }

    /// A paragraph that begins so many bold parts and ends none.
    fn strongs(count: usize) -> String {
        (0..count).fold("<p>".to_owned(), |page, n| page + &format!("<b id={n}>"))
    }

    #[test]
    fn what_is_deep_within_bounds_is_read_whatever_stands_in_it() {
        for page in [
            "<div>".repeat(200) + "wind",
            format!("<svg>{}</svg>wind", "<path d='M0 0'/>".repeat(900)),
            "<table><tr><td>".repeat(50) + "wind",
            "<blockquote>".repeat(16) + "wind",
            // The renderer alone panics at this.
            "<table>".to_owned()
                + &"<tr><td rowspan=9999>a<td rowspan=99 colspan=7>wind".repeat(50),
            "<ol start=9223372036854775807><li>calm<li>wind".to_owned(),
        ] {
            assert!(html(&page).contains("wind"), "{page:.40}");
        }
    }

    #[test]
    fn a_page_whose_text_is_longer_than_it_is_refused() {
        let page = "<blockquote>".repeat(16) + "<pre>" + &"a\n".repeat(100_000);
        let error = of_body(page.as_bytes(), Some("text/html")).unwrap_err().to_string();
        assert!(error.contains("bytes of text"), "{error}");
    }

    #[test]
    fn a_path_picks_from_json() {
        let json = r#"{"wind":{"kn":14.2,"at":"Horta"},"days":[{"t":1},{"t":2}]}"#;
        for (pick, value) in [
            ("$.wind.kn", "14.2"),
            ("$.wind.at", "Horta"),
            ("$['days'][1]", r#"{"t":2}"#),
            ("$.days[*].t", "[1,2]"),
            ("$..t", "[1,2]"),
            ("$.days[?@.t > 1].t", "2"),
        ] {
            assert_eq!(picked(json, pick).unwrap(), value, "{pick}");
        }
        for (pick, why) in [
            ("$.wave", "there is wind, days"),
            ("$.[", "pick"),
            ("$..a..b", "one \"..\""),
            ("$[0,0][0,0][0,0][0,0]", "three commas"),
            ("$..[*,*]", "either one"),
            ("$[?count($[*])>0]", "one \"$\""),
        ] {
            let error = picked(json, pick).unwrap_err().to_string();
            assert!(error.contains(why), "{pick}: {error}");
        }
        assert!(picked(json, "$['a..b, $']").unwrap_err().to_string().contains("nothing is there"));
        assert!(picked("no json", "$.a").unwrap_err().to_string().contains("no JSON"));
    }

    #[test]
    fn a_path_picks_no_more_than_there_is() {
        let deep = format!("{}{}{}", "[".repeat(120), "7,".repeat(200_000) + "7", "]".repeat(120));
        let error = picked(&deep, "$..*").unwrap_err().to_string();
        assert!(error.contains("more than all there is"), "{error}");
        assert_eq!(picked("[[1,2],[3]]", "$..*").unwrap(), "[[1,2],[3],1,2,3]");
    }

    #[test]
    fn words_pick_the_lines_that_have_most_of_them() {
        let text =
            "The harbour\n\nOpening hours\nMonday to Friday, nine to five\nFerry\nleaves at nine\n";
        assert_eq!(
            picked(text, "opening HOURS").unwrap(),
            "Opening hours\nMonday to Friday, nine to five"
        );
        assert_eq!(picked(text, "ferry?").unwrap(), "Ferry\nleaves at nine");
        assert!(picked(text, "submarine").is_err());
        assert!(picked(text, &"x".repeat(PICK + 1)).is_err());
    }

    #[test]
    fn a_beginning_is_cut_between_characters() {
        assert_eq!(beginning("über", 4), "über");
        assert_eq!(beginning("über dem", 5), "über…");
    }
}
