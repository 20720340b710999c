//! What chat templates expect of Jinja because Hugging Face renders them with Python's.
//!
//! JSON is written as `json.dumps` writes it, `None` and `True` print as Python prints them, texts
//! have the methods that templates call, and the tags that only training needs are let through.
//! What is missing is an error that names it (`what_is_not_provided_is_named`).

use std::fmt::Write as _;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, ValueKind, from_args};
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, State, UndefinedBehavior, Value, escape_formatter,
};
use minijinja_contrib::pycompat;

use super::clock::strftime;
use super::marker::{Edit, edit_all, edit_first, edit_last, escaped};

/// Templates are programs: this many steps are a thousand times more than any real one takes.
const FUEL: u64 = 5_000_000;
/// A value that is nested deeper is none that was given to the template.
const DEEPEST: usize = 200;

/// An environment that renders a template as Hugging Face does, at the time `seconds`.
pub(crate) fn environment(seconds: u64) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_fuel(Some(FUEL));
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_formatter(|out, state, value| match value.kind() {
        ValueKind::None => Ok(out.write_str("None")?),
        ValueKind::Bool => Ok(out.write_str(if value.is_true() { "True" } else { "False" })?),
        _ => escape_formatter(out, state, value),
    });
    environment.set_unknown_method_callback(method);
    environment.add_filter("tojson", tojson);
    environment.add_filter("trim", |text: Value, set: Option<String>| {
        trimmed(&text.to_string(), set.as_deref(), Sides::Both)
    });
    // Python iterates over no None, and finds texts and maps as indexable as lists.
    environment.add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
    environment.add_test("sequence", |value: &Value| {
        matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::String)
    });
    environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", move |format: &str| strftime(format, seconds));
    Ok(environment)
}

/// What an error of a template says, in one line.
pub(crate) fn words(error: &Error) -> String {
    let words = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let words = words.lines().collect::<Vec<_>>().join(" ");
    match error.line() {
        Some(line) => format!("{words} (line {line})"),
        None => words,
    }
}

/// The tags around what a model is trained to write mean nothing where a prompt is rendered.
pub(crate) fn without_training_tags(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    for part in source.split_inclusive("%}") {
        let tag = part.rsplit_once("{%").and_then(|(before, tag)| {
            let (inside, opened) = match tag.strip_prefix(['-', '+']) {
                Some(inside) => (inside, tag.get(..1).unwrap_or_default()),
                None => (tag, ""),
            };
            let inside = inside.strip_suffix("%}")?;
            let (inside, closed) = match inside.strip_suffix(['-', '+']) {
                Some(rest) => (rest, inside.get(rest.len()..).unwrap_or_default()),
                None => (inside, ""),
            };
            let means = match inside.trim() {
                "generation" => "if true",
                "endgeneration" => "endif",
                _ => return None,
            };
            Some(format!("{before}{{%{opened} {means} {closed}%}}"))
        });
        text.push_str(tag.as_deref().unwrap_or(part));
    }
    text
}

fn method(
    state: &mut State,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    let Some(text) = value.as_str() else {
        return pycompat::unknown_method_callback(state, value, name, arguments);
    };
    let sides = match name {
        "strip" => Sides::Both,
        "lstrip" => Sides::Start,
        "rstrip" => Sides::End,
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(arguments)?;
            return Ok(Value::from(text.strip_prefix(prefix).unwrap_or(text)));
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(arguments)?;
            return Ok(Value::from(text.strip_suffix(suffix).unwrap_or(text)));
        }
        _ => return pycompat::unknown_method_callback(state, value, name, arguments),
    };
    let (set,): (Option<&str>,) = from_args(arguments)?;
    Ok(Value::from(trimmed(text, set, sides)))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sides {
    Both,
    Start,
    End,
}

/// Trims white space, or characters of a set. Texts from outside are trimmed of white space and
/// of line breaks; a template that trims other characters trims its own text only.
fn trimmed(text: &str, set: Option<&str>, sides: Sides) -> String {
    let is_cut = |character: char| match set {
        Some(set) => set.contains(character),
        None => character.is_whitespace(),
    };
    let edits = match set {
        None => Some((Edit::TrimStart, Edit::TrimEnd)),
        Some("\n") => Some((Edit::LinesStart, Edit::LinesEnd)),
        Some(set) if set.contains('\n') && set.chars().all(char::is_whitespace) => {
            Some((Edit::TrimStart, Edit::TrimEnd))
        }
        Some(_) => None,
    };
    let mut text = text.to_owned();
    if sides != Sides::End {
        text = text.trim_start_matches(is_cut).to_owned();
        if let Some((edit, _)) = edits {
            text = edit_first(&text, edit);
        }
    }
    if sides != Sides::Start {
        text = text.trim_end_matches(is_cut).to_owned();
        if let Some((_, edit)) = edits {
            text = edit_last(&text, edit);
        }
    }
    text
}

/// `json.dumps` of Python, with the defaults of Hugging Face: characters are not escaped, and
/// there is a space after commas and colons.
fn tojson(value: &Value, indent: Option<Value>, options: Kwargs) -> Result<Value, Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => options.get("indent")?,
    };
    let indent = match indent.filter(|indent| !indent.is_none()) {
        Some(indent) => Some(usize::try_from(indent)?),
        None => None,
    };
    let separators: Option<Value> = options.get("separators")?;
    let (comma, colon) = match separators.filter(|separators| !separators.is_none()) {
        Some(pair) => {
            (pair.get_item_by_index(0)?.to_string(), pair.get_item_by_index(1)?.to_string())
        }
        None => ((if indent.is_some() { "," } else { ", " }).to_owned(), ": ".to_owned()),
    };
    let ascii = options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    let sorted = options.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    options.assert_all_used()?;
    let writer = JsonWriter { indent, comma, colon, ascii, sorted };
    let mut text = String::new();
    writer.write(&mut text, value, 0)?;
    Ok(Value::from(text))
}

struct JsonWriter {
    indent: Option<usize>,
    comma: String,
    colon: String,
    ascii: bool,
    sorted: bool,
}

impl JsonWriter {
    fn write(&self, text: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEEPEST {
            return Err(Error::new(ErrorKind::BadSerialization, "the value is nested too deeply"));
        }
        match value.kind() {
            ValueKind::None => text.push_str("null"),
            ValueKind::Bool => text.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => write!(text, "{value}")?,
            ValueKind::String => self.string(text, value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.container(text, ('[', ']'), &items, depth, |text, item| {
                    self.write(text, item, depth.saturating_add(1))
                })?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sorted {
                    keys.sort();
                }
                self.container(text, ('{', '}'), &keys, depth, |text, key| {
                    self.string(text, &key.to_string());
                    text.push_str(&self.colon);
                    self.write(text, &value.get_item(key)?, depth.saturating_add(1))
                })?;
            }
            kind => {
                let why = format!("a value that is {kind} has no JSON");
                return Err(Error::new(ErrorKind::BadSerialization, why));
            }
        }
        Ok(())
    }

    fn string(&self, text: &mut String, string: &str) {
        let edit = if self.ascii { Edit::AsciiJson } else { Edit::Json };
        text.push('"');
        text.push_str(&edit_all(string, edit, |part| escaped(part, self.ascii)));
        text.push('"');
    }

    fn container(
        &self,
        text: &mut String,
        (open, close): (char, char),
        items: &[Value],
        depth: usize,
        mut write: impl FnMut(&mut String, &Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        text.push(open);
        for (number, item) in items.iter().enumerate() {
            if number > 0 {
                text.push_str(&self.comma);
            }
            self.line(text, depth.saturating_add(1));
            write(text, item)?;
        }
        if !items.is_empty() {
            self.line(text, depth);
        }
        text.push(close);
        Ok(())
    }

    fn line(&self, text: &mut String, depth: usize) {
        if let Some(indent) = self.indent {
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', indent.saturating_mul(depth)));
        }
    }
}

#[cfg(test)]
mod tests {
    use minijinja::context;

    use super::*;

    fn render(source: &str) -> Result<String, Error> {
        let mut environment = environment(1_709_208_000)?; // 2024-02-29 12:00
        environment.add_template_owned("t", without_training_tags(source))?;
        let value = Value::from_pairs([
            ("name", Value::from("é\n\"q\"")),
            ("n", Value::from(vec![1, 2])),
            ("flag", Value::from(true)),
            ("nothing", Value::from(())),
            ("half", Value::from(0.5)),
            ("empty", Value::from_pairs(Vec::<(String, Value)>::new())),
        ]);
        let letters = vec!["a", "b", "c"];
        environment.get_template("t")?.render(context! { value, letters })
    }

    /// Expected are the outputs of Jinja2 with Hugging Face's settings.
    #[test]
    fn the_constructs_of_chat_templates_do_what_python_does() {
        for (source, expected) in [
            (
                "{{ value | tojson }}",
                r#"{"name": "é\n\"q\"", "n": [1, 2], "flag": true, "nothing": null, "half": 0.5, "empty": {}}"#,
            ),
            (
                "{{ value | tojson(indent=2) }}",
                "{\n  \"name\": \"é\\n\\\"q\\\"\",\n  \"n\": [\n    1,\n    2\n  ],\n  \"flag\": true,\n  \
                 \"nothing\": null,\n  \"half\": 0.5,\n  \"empty\": {}\n}",
            ),
            (r"{{ value.name | tojson(ensure_ascii=True) }}", r#""\u00e9\n\"q\"""#),
            ("{{ {'b': 1, 'a': [2]} | tojson(separators=(',', ':')) }}", r#"{"b":1,"a":[2]}"#),
            ("{{ {'b': 1, 'a': 2} | tojson(sort_keys=True) }}", r#"{"a": 2, "b": 1}"#),
            ("{{ '<b>&' | tojson }}", r#""<b>&""#),
            ("{{ none }} {{ true }} {{ value.flag }} {{ missing }}|", "None True True |"),
            ("{{ letters[::-1] | join }} {{ letters[1:] | join }} {{ letters[-1] }}", "cba bc c"),
            ("{{ letters | last }}{{ letters | first }}{{ letters | length }}", "ca3"),
            ("{% for k, v in value.n | zip(letters) %}{{ k }}{{ v }}{% endfor %}", "1a2b"),
            (
                "{% for k, v in {'b': 1, 'a': 2}.items() %}{{ k }}{{ v }}{% endfor %}\
                 {% for k, v in {'b': 1, 'a': 2} | dictsort %}{{ k }}{{ v }}{% endfor %}\
                 {% for k, v in {'b': 1, 'a': 2} | items %}{{ k }}{{ v }}{% endfor %}",
                "b1a2a2b1b1a2",
            ),
            (
                "{% for l in letters %}{{ loop.previtem }}{{ loop.index0 }}{{ loop.nextitem }} {% endfor %}",
                "0b a1c b2 ",
            ),
            (
                "{% set ns = namespace(found=false) %}{% for l in letters %}{% if l == 'b' %}\
                 {% set ns.found = true %}{% break %}{% endif %}{{ l }}{% endfor %}{{ ns.found }}",
                "aTrue",
            ),
            (
                "{{ value is mapping }}{{ value.n is mapping }}{{ value.n is sequence }}\
                 {{ 'a' is string }}{{ 'a' is iterable }}{{ 1 is iterable }}{{ none is iterable }}\
                 {{ 'a' is sequence }}{{ value is sequence }}{{ 1 is sequence }}",
                "TrueFalseTrueTrueTrueFalseFalseTrueTrueFalse",
            ),
            (
                "{{ 'abc'.startswith('ab') }}{{ 'abc'.endswith(('x', 'c')) }}{{ 'a</t>b'.split('</t>')[-1] }}\
                 {{ '\n\nx\n'.lstrip('\n') }}{{ '\nx\n'.strip('\n') }}{{ ' x '.rstrip() }}|",
                "TrueTruebx\nx x|",
            ),
            (
                "{{ 'abc'.removeprefix('a') }}{{ 'abc'.removesuffix('c') }}{{ 'x'.removeprefix('y') }}",
                "bcabx",
            ),
            (
                "{{ 'a-b'.replace('-', '+') }}{{ 'aB'.upper() }}{{ 'x y' | title }}{{ 'ab'.find('b') }}",
                "a+bABX Y1",
            ),
            ("{{ value.get('absent', 'other') }}{{ value.get('absent') }}", "otherNone"),
            (
                "{{ [{'r': 'u', 'c': 1}, {'r': 't', 'c': 2}] | selectattr('r', 'equalto', 't') | map(attribute='c') | list }}",
                "[2]",
            ),
            (
                "{% macro twice(x, y='!') %}{{ x }}{{ x }}{{ y }}{% endmacro %}{{ twice('a') }}{{ twice('b', y='?') }}",
                "aa!bb?",
            ),
            ("{% set x %}in{{ 1 + 1 }}{% endset %}{{ x }} {{ 'a' ~ 1 ~ none }}", "in2 a1None"),
            (
                "{{ 'x' if missing }}|{{ 'y' if not missing else 'n' }}|{{ 'a' in missing }}",
                "|y|False",
            ),
            ("{{ ([1] + [2]) | length }}{{ 7 // 2 }}{{ 7 % 2 }}{{ 'a' * 2 }}", "231aa"),
            ("{{ strftime_now('%Y-%m-%d') }}", "2024-02-29"),
            (
                "a {%- generation -%} b {%- endgeneration %} c {% generation %}d{% endgeneration %}",
                "ab c d",
            ),
            ("{{ ' x\n' | trim }}{{ 'xyx' | trim('x') }}|", "xy|"),
            ("  {% if true %}\nx\n  {% endif %}\n", "x\n"),
        ] {
            assert_eq!(
                render(source).map_err(|e| format!("{source}: {e:#}")).unwrap(),
                expected,
                "{source}"
            );
        }
    }

    #[test]
    fn what_is_not_provided_is_named() {
        for (source, name) in [
            ("{{ 'a'.swapcase() }}", "swapcase"),
            ("{{ 'a' | wordwrap }}", "wordwrap"),
            ("{{ 'a' is palindrome }}", "palindrome"),
            ("{{ lipsum() }}", "lipsum"),
            ("{% trans %}a{% endtrans %}", "trans"),
            ("{{ missing | tojson }}", "undefined"),
            ("{{ [1] | tojson(default=2) }}", "default"),
        ] {
            let error = words(&render(source).unwrap_err());
            assert!(error.contains(name), "{source}: {error}");
            assert!(error.ends_with(" (line 1)"), "{error}");
        }
    }
}
