//! Renders a conversation with the chat template that the model was trained with.
//!
//! The template never sees what was said: it gets a marker for each text from outside (what
//! people, tools and the model said, names, arguments, descriptions and schemas of tools), and the
//! rendering is cut at the markers. So nothing in a text can act on the template, and the
//! tokeniser knows which text is the template's and which came from outside. A template can place
//! a marker, trim it and write it as JSON; what it decides by looking into a text it cannot decide.

mod clock;
mod marker;
mod python;
mod shape;

#[cfg(test)]
mod golden;

use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::{Environment, Error, ErrorKind, Value, context};

pub(crate) use self::marker::Piece;
use self::marker::Texts;
use self::shape::Shape;
use crate::error::ModelError;
use crate::message::{Message, ToolDefinition};

/// What `<|im_start|>` models use, and the guess for a model file without a template.
const CHATML: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n\
                      {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
const NAME: &str = "chat";

/// A compiled chat template.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
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
        let fault =
            |error| ModelError::Template(format!("it does not compile: {}", python::words(&error)));
        let source = source.unwrap_or_else(|| {
            tracing::warn!("the model file has no chat template; assuming ChatML");
            CHATML.to_owned()
        });
        let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
        let mut environment = python::environment(seconds).map_err(fault)?;
        let runnable = python::without_training_tags(&source);
        environment.add_template_owned(NAME, runnable).map_err(fault)?;
        Ok(Self { environment, source, bos, eos })
    }

    /// What the model file has for a template.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Renders the conversation up to where the assistant speaks next, or thinks first.
    ///
    /// A template that refuses a [`Shape`] of the conversation, or leaves a part of it out, is
    /// tried with the next one.
    pub(crate) fn render<'a>(
        &self,
        messages: &'a [Message],
        tools: &'a [ToolDefinition],
        thinking: bool,
    ) -> Result<Vec<Piece<'a>>, ModelError> {
        let mut first_error = None;
        let knows_parts = ["'text'", "\"text\""].iter().any(|part| self.source.contains(part));
        let looks = ["['type']", "[\"type\"]"].iter().any(|it| self.source.contains(it));
        for shape in Shape::all(messages, tools, knows_parts) {
            let shape = shape.typed(looks);
            let mut texts = Texts::default();
            let (turns, tools) = shape.tell(messages, tools, &mut texts);
            let error = match self.fill(turns, tools, thinking) {
                Ok(rendering) => match texts.cut(&rendering) {
                    Ok(pieces) => return Ok(pieces),
                    Err(error) => error,
                },
                // Another shape would not make it shorter.
                Err(error) if error.kind() == ErrorKind::OutOfFuel => {
                    return Err(ModelError::Template("it does not come to an end".to_owned()));
                }
                Err(error) => python::words(&error),
            };
            first_error.get_or_insert(error);
        }
        Err(ModelError::Template(first_error.unwrap_or_default()))
    }

    fn fill(&self, turns: Value, tools: Value, thinking: bool) -> Result<String, Error> {
        let values = context! {
            messages => turns,
            tools => tools,
            documents => (),
            add_generation_prompt => true,
            enable_thinking => thinking,
            bos_token => &self.bos,
            eos_token => &self.eos,
        };
        self.environment.get_template(NAME)?.render(values)
    }

    /// What the template writes after a turn of the assistant that others follow.
    pub(crate) fn after_a_reply(&self) -> Option<String> {
        let messages = [Message::user("1"), Message::assistant("2"), Message::user("3")];
        let pieces = self.render(&messages, &[], false).ok()?;
        let mut after = pieces
            .into_iter()
            .skip_while(|piece| !matches!(piece, Piece::Outside { text, .. } if text == "2"));
        match after.nth(1) {
            Some(Piece::Literal(text)) => Some(text),
            _ => None,
        }
    }
}

/// A rendering as one text, for comparison.
#[cfg(test)]
pub(crate) fn text(pieces: &[Piece<'_>]) -> String {
    let texts = pieces.iter().map(|piece| match piece {
        Piece::Literal(text) => text.as_str(),
        Piece::Outside { text, .. } => text.as_ref(),
    });
    texts.collect()
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
        Ok(text(&template(source).render(messages, &[], false)?))
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
    fn a_template_that_wants_content_in_parts_gets_them() {
        let parts = "{% for m in messages %}[{{ m.role }}]{% for part in m.content %}\
            {% if part['type'] == 'text' %}{{ part['text'] | trim }}{% endif %}{% endfor %}{% endfor %}";
        assert_eq!(render(parts, &conversation()).unwrap(), "[system]S[user]U[assistant]A[tool]T");
    }

    /// Gemma 4's closes the braces of a tool where it tells the type of its arguments.
    #[test]
    fn a_template_that_looks_at_the_types_of_schemas_is_told_that_arguments_are_an_object() {
        let tools = [ToolDefinition::new("pay", "pays", serde_json::json!({ "properties": {} }))];
        for (look, told) in [("params['type']", "paypays[object]U"), ("params.kind", "paypaysU")] {
            let source = format!(
                "{{% set it = tools[0].function %}}{{% set params = it.parameters %}}\
                 {{{{ it.name }}}}{{{{ it.description }}}}\
                 {{% if {look} %}}[{{{{ params.type }}}}]{{% endif %}}\
                 {{% for m in messages %}}{{{{ m.content }}}}{{% endfor %}}"
            );
            let messages = [Message::user("U")];
            let said = template(&source).render(&messages, &tools, false).unwrap();
            assert_eq!(text(&said), told);
        }
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
        let error = render(endless, &conversation()).unwrap_err().to_string();
        assert_eq!(error, "chat template: it does not come to an end");
    }

    #[test]
    fn a_message_that_looks_like_a_marker_or_a_template_is_only_text() {
        let messages = [Message::user("{{ bos_token }}\u{e000}0\u{e001}")];
        assert_eq!(
            render("[{{ messages[0].content }}]", &messages).unwrap(),
            format!("[{}]", messages[0].content)
        );
    }
}
