//! Renders a conversation with the chat template that the model was trained with.
//!
//! The template never sees what was said: it gets a marker for each message, and the rendering
//! is cut at the markers. So nothing in a message can act on the template, and the tokeniser
//! knows which text is the template's and which came from outside. The price is small: a
//! template that trims or searches its messages trims and searches markers.

use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, context};

use crate::error::ModelError;
use crate::request::{Message, Role};

/// What `<|im_start|>` models use, and the guess for a model file without a template.
const CHATML: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n\
                      {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
/// Templates are programs: this many steps are a thousand times more than any real one takes.
const FUEL: u64 = 5_000_000;
/// Private-use characters around the number of a message.
const OPEN: char = '\u{e000}';
const CLOSE: char = '\u{e001}';
const NAME: &str = "chat";

/// A part of a rendered prompt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Text of the template, which may name control tokens.
    Literal(String),
    /// The content of the message with this index.
    Content(usize),
}

/// A compiled chat template.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// Compiles a template; without one, ChatML is assumed and a warning written.
    ///
    /// `now` is the time that the template may print. It stays the same for the life of the
    /// model, so that a date in a prompt does not make yesterday's work worthless.
    pub(crate) fn new(
        source: Option<String>,
        bos: String,
        eos: String,
        now: SystemTime,
    ) -> Result<Self, ModelError> {
        let fault = |error| ModelError::Template(format!("it does not compile: {error:#}"));
        let source = source.unwrap_or_else(|| {
            tracing::warn!("the model file has no chat template; assuming ChatML");
            CHATML.to_owned()
        });
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_fuel(Some(FUEL));
        // As Hugging Face renders chat templates.
        environment.set_syntax(
            SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(fault)?,
        );
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
        environment.add_function("strftime_now", move |format: &str| strftime(format, seconds));
        environment.add_template_owned(NAME, source).map_err(fault)?;
        Ok(Self { environment, bos, eos })
    }

    /// Renders the conversation up to where the assistant speaks next, or thinks first.
    ///
    /// A template that refuses or drops a tool's or the system's message is tried again with the
    /// tool speaking as the user, and then with the system's words before the first user's.
    pub(crate) fn render(
        &self,
        messages: &[Message],
        thinking: bool,
    ) -> Result<Vec<Piece>, ModelError> {
        let turns: Vec<Turn> = messages.iter().enumerate().map(Turn::new).collect();
        let mut first_error = None;
        for turns in [turns.clone(), tools_as_users(turns.clone()), system_as_user(turns)] {
            match self.attempt(&turns, messages.len(), thinking) {
                Ok(pieces) => return Ok(pieces),
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            }
        }
        Err(ModelError::Template(first_error.unwrap_or_default()))
    }

    fn attempt(
        &self,
        turns: &[Turn],
        messages: usize,
        thinking: bool,
    ) -> Result<Vec<Piece>, String> {
        let turns: Vec<_> = turns
            .iter()
            .map(|turn| context! { role => turn.role.as_str(), content => &turn.content })
            .collect();
        let text = self
            .environment
            .get_template(NAME)
            .and_then(|template| {
                template.render(context! {
                    messages => turns,
                    add_generation_prompt => true,
                    enable_thinking => thinking,
                    bos_token => &self.bos,
                    eos_token => &self.eos,
                })
            })
            .map_err(|error| error.detail().map_or_else(|| error.to_string(), str::to_owned))?;
        let pieces = cut(&text);
        for index in 0..messages {
            if !pieces.contains(&Piece::Content(index)) {
                return Err(format!("it leaves out message {}", index.saturating_add(1)));
            }
        }
        Ok(pieces)
    }
}

/// A message as the template sees it.
#[derive(Debug, Clone)]
struct Turn {
    role: Role,
    content: String,
}

impl Turn {
    fn new((index, message): (usize, &Message)) -> Self {
        Self { role: message.role, content: format!("{OPEN}{index}{CLOSE}") }
    }
}

fn tools_as_users(mut turns: Vec<Turn>) -> Vec<Turn> {
    for turn in &mut turns {
        if turn.role == Role::Tool {
            turn.role = Role::User;
        }
    }
    merged(turns)
}

fn system_as_user(mut turns: Vec<Turn>) -> Vec<Turn> {
    for turn in &mut turns {
        if turn.role == Role::System {
            turn.role = Role::User;
        }
    }
    tools_as_users(turns)
}

/// Neighbours with the same role become one turn: many templates insist on alternation.
fn merged(turns: Vec<Turn>) -> Vec<Turn> {
    let mut merged: Vec<Turn> = Vec::with_capacity(turns.len());
    for turn in turns {
        match merged.last_mut() {
            Some(last) if last.role == turn.role => {
                last.content.push_str("\n\n");
                last.content.push_str(&turn.content);
            }
            _ => merged.push(turn),
        }
    }
    merged
}

/// Cuts a rendering at its markers.
fn cut(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, number, after)) = next_marker(rest) {
        if !before.is_empty() {
            pieces.push(Piece::Literal(before.to_owned()));
        }
        pieces.push(Piece::Content(number));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest.to_owned()));
    }
    pieces
}

fn next_marker(text: &str) -> Option<(&str, usize, &str)> {
    let (before, inside) = text.split_once(OPEN)?;
    let (number, after) = inside.split_once(CLOSE)?;
    Some((before, number.parse().ok()?, after))
}

/// The conversions of `strftime` that chat templates use, in UTC.
fn strftime(format: &str, seconds: u64) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let (year, month, day) = civil_date(seconds / 86_400);
    let second_of_day = seconds % 86_400;
    let month_name = MONTHS.get(month.saturating_sub(1) as usize).copied().unwrap_or_default();
    let mut text = String::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        match characters.next() {
            Some('Y') => text.push_str(&year.to_string()),
            Some('m') => text.push_str(&format!("{month:02}")),
            Some('d') => text.push_str(&format!("{day:02}")),
            Some('B') => text.push_str(month_name),
            Some('b') => text.extend(month_name.chars().take(3)),
            Some('H') => text.push_str(&format!("{:02}", second_of_day / 3_600)),
            Some('M') => text.push_str(&format!("{:02}", second_of_day / 60 % 60)),
            Some('S') => text.push_str(&format!("{:02}", second_of_day % 60)),
            Some('%') | None => text.push('%'),
            Some(other) => text.extend(['%', other]),
        }
    }
    text
}

/// Year, month (1 to 12) and day (1 to 31) of a day counted from 1970-01-01, in the Gregorian
/// calendar, by counting years of 365 or 366 days.
fn civil_date(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    // 400 years always have 146,097 days.
    let mut year = 1970 + days / 146_097 * 400;
    days %= 146_097;
    loop {
        let length = if leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn template(source: &str) -> ChatTemplate {
        let now = UNIX_EPOCH + Duration::from_secs(1_709_208_000); // 2024-02-29 12:00
        ChatTemplate::new(Some(source.to_owned()), "<s>".into(), "</s>".into(), now).unwrap()
    }

    /// The rendering with contents put back, for comparison.
    fn render(source: &str, messages: &[Message]) -> Result<String, ModelError> {
        let pieces = template(source).render(messages, false)?;
        Ok(pieces
            .into_iter()
            .map(|piece| match piece {
                Piece::Literal(text) => text,
                Piece::Content(index) => messages[index].content.clone(),
            })
            .collect())
    }

    fn conversation() -> Vec<Message> {
        vec![Message::system("S"), Message::user("U"), Message::assistant("A"), Message::tool("T")]
    }

    #[test]
    fn chatml_wraps_every_message_and_opens_the_reply() {
        assert_eq!(
            render(CHATML, &conversation()).unwrap(),
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n\
             <|im_start|>assistant\nA<|im_end|>\n<|im_start|>tool\nT<|im_end|>\n\
             <|im_start|>assistant\n"
        );
    }

    #[test]
    fn a_template_that_insists_on_alternating_users_gets_them() {
        let gemma = "{{ bos_token }}{% for m in messages %}\
            {% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}\
            {% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('alternate') }}{% endif %}\
            [{{ 'model' if m.role == 'assistant' else m.role }}]{{ m.content | trim }}{% endfor %}";
        assert_eq!(render(gemma, &conversation()).unwrap(), "<s>[user]S\n\nU[model]A[user]T");
    }

    #[test]
    fn a_message_that_no_shape_keeps_is_an_error_and_not_dropped() {
        let deaf = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}";
        let error = render(deaf, &conversation()).unwrap_err();
        assert_eq!(error.to_string(), "chat template: it leaves out message 1");
    }

    #[test]
    fn python_methods_loop_controls_and_the_date_work() {
        let source = "{{ strftime_now('%d %b %Y %H:%M') }} {% for m in messages %}\
            {% if m.role.startswith('sys') %}{% continue %}{% endif %}{% endfor %}\
            {% for m in messages %}{{ m.content.strip() }}{% endfor %}";
        assert_eq!(render(source, &conversation()).unwrap(), "29 Feb 2024 12:00 SUAT");
    }

    #[test]
    fn a_template_that_loops_for_ever_runs_dry() {
        let endless =
            "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
        assert!(render(endless, &conversation()).is_err());
    }

    #[test]
    fn a_message_that_looks_like_a_marker_or_a_template_is_only_text() {
        let messages = [Message::user("{{ bos_token }}\u{e000}0\u{e001}")];
        assert_eq!(
            render("[{{ messages[0].content }}]", &messages).unwrap(),
            format!("[{}]", messages[0].content)
        );
    }

    #[test]
    fn dates_are_those_of_the_gregorian_calendar() {
        for (days, date) in [
            (0, (1970, 1, 1)),
            (58, (1970, 2, 28)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (19_782, (2024, 2, 29)),
            (20_453, (2025, 12, 31)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(civil_date(days), date, "day {days}");
        }
    }
}
