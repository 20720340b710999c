//! Where a model thinks, where it replies, and what ends its turn, as far as its file tells.
//!
//! Three ways of marking thoughts are known, by the template and (but for gpt-oss, whose channels
//! a template has to know) the vocabulary, never by the name of a model:
//!
//! | in the file | a thought is | what follows it | without thinking |
//! |---|---|---|---|
//! | `<\|channel\|>` and `<\|message\|>` (gpt-oss) | the channel `analysis`, up to `<\|end\|>` | the channel `final` | the channel `final` at once |
//! | `</think>` (Qwen3, DeepSeek, GLM) | from `<think>` to `</think>` | an empty line, the reply | a thought that the template opens is closed |
//! | `[/THINK]` (Magistral) | from `[THINK]` to `[/THINK]` | the reply | the same |
//! | none of them (Llama 3, Gemma 3) | refused, unless the caller says what ends it | the reply | nothing is added |
//!
//! A turn ends with what llama.cpp knows to end one (the file's end of text and of turn), and with
//! the special token that the template writes after a reply, where that is another one.

use llama_cpp_2::token::LlamaToken;

use crate::error::ModelError;
use crate::prompt::Vocabulary;
use crate::request::Thinking;
use crate::template::{ChatTemplate, Piece};

/// One way of marking thoughts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Marks {
    /// Texts that the template or the vocabulary has where thoughts are marked so.
    signs: &'static [&'static str],
    /// What a rendering ends with where the template has opened a thought, without white space.
    opened: &'static str,
    /// What opens a thought.
    open: &'static str,
    /// What ends it.
    end: &'static str,
    /// What stands between the end and the reply.
    bridge: &'static str,
    /// What closes a thought that the template opened and nobody wants.
    close: &'static str,
    /// What a reply begins with where there is no thought.
    direct: &'static str,
}

const KNOWN: [Marks; 3] = [
    Marks {
        signs: &["<|channel|>", "<|message|>"],
        opened: "<|channel|>analysis<|message|>",
        open: "<|channel|>analysis<|message|>",
        end: "<|end|>",
        bridge: "<|start|>assistant<|channel|>final<|message|>",
        close: "<|end|><|start|>assistant<|channel|>final<|message|>",
        direct: "<|channel|>final<|message|>",
    },
    Marks {
        signs: &["</think>"],
        opened: "<think>",
        open: "<think>\n",
        end: "</think>",
        bridge: "\n\n",
        close: "\n</think>\n\n",
        direct: "",
    },
    Marks {
        signs: &["[/THINK]"],
        opened: "[THINK]",
        open: "[THINK]",
        end: "[/THINK]",
        bridge: "",
        close: "[/THINK]",
        direct: "",
    },
];

/// How a model marks its thoughts, if it does.
#[derive(Debug)]
pub(crate) struct Channels(Option<Marks>);

/// A thought that a writer lets the model write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Thought {
    /// The most tokens of it.
    pub(crate) max_tokens: u32,
    /// The text that ends it.
    pub(crate) end: String,
    /// What is written for the model between the end and the reply.
    pub(crate) bridge: String,
}

impl Channels {
    /// Looks into the template, and where that says nothing into the vocabulary.
    pub(crate) fn new(template: &ChatTemplate, vocabulary: &Vocabulary) -> Self {
        Self::find(template.source(), |text| vocabulary.lists(text))
    }

    /// What the template alone tells.
    #[cfg(test)]
    pub(crate) fn of_template(template: &ChatTemplate) -> Self {
        Self::find(template.source(), |_| false)
    }

    fn find(template: &str, listed: impl Fn(&str) -> bool) -> Self {
        let marked = |marks: &Marks| {
            // What is written without being asked for needs the template's word.
            let by_words = marks.direct.is_empty();
            marks.signs.iter().all(|sign| template.contains(sign) || (by_words && listed(sign)))
        };
        Self(KNOWN.into_iter().find(marked))
    }

    /// Ends a rendering where the model goes on: in a thought if one is wanted, else in the reply.
    pub(crate) fn open(
        &self,
        pieces: &mut Vec<Piece<'_>>,
        wanted: Option<&Thinking>,
    ) -> Result<Option<Thought>, ModelError> {
        let end = wanted.and_then(|thinking| thinking.end.as_deref());
        if end.is_some_and(str::is_empty) {
            return Err(ModelError::Request("thinking has no end".to_owned()));
        }
        let marks = self.0.filter(|marks| end.is_none_or(|end| end == marks.end));
        let opened = marks.is_some_and(|marks| match pieces.last() {
            Some(Piece::Literal(text)) => text.trim_end().ends_with(marks.opened),
            _ => false,
        });
        let (said, thought) = match (wanted, marks) {
            (Some(Thinking { max_tokens, .. }), Some(marks)) => {
                let thought = Thought {
                    max_tokens: *max_tokens,
                    end: marks.end.to_owned(),
                    bridge: marks.bridge.to_owned(),
                };
                (if opened { "" } else { marks.open }, Some(thought))
            }
            (Some(Thinking { max_tokens, end: Some(end) }), None) => {
                let thought =
                    Thought { max_tokens: *max_tokens, end: end.clone(), bridge: String::new() };
                ("", Some(thought))
            }
            (Some(Thinking { end: None, .. }), None) => {
                return Err(ModelError::Request(
                    "the model file marks no thoughts; leave thinking out, or say what ends it"
                        .to_owned(),
                ));
            }
            (None, Some(marks)) => (if opened { marks.close } else { marks.direct }, None),
            (None, None) => ("", None),
        };
        if !said.is_empty() {
            // White space that the template leaves at the end is part of what it opened.
            pieces.push(Piece::Literal(said.to_owned()));
        }
        Ok(thought)
    }
}

/// The special token that the template writes after a reply.
pub(crate) fn end_of_turn(template: &ChatTemplate, vocabulary: &Vocabulary) -> Option<LlamaToken> {
    vocabulary.leading_special(template.after_a_reply()?.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(channels: &Channels, rendering: &str, wanted: Option<&Thinking>) -> String {
        let mut pieces = vec![Piece::Literal(rendering.to_owned())];
        channels.open(&mut pieces, wanted).unwrap();
        crate::template::text(&pieces)
    }

    #[test]
    fn each_family_thinks_and_replies_where_it_was_trained_to() {
        let thinking = Thinking::new(9);
        let harmony = Channels::find("… <|channel|> … <|message|>", |_| false);
        let tags = Channels::find("", |text| text == "</think>");
        let brackets = Channels::find("[THINK] … [/THINK]", |_| false);
        let plain = Channels::find("<|im_start|>", |_| false);
        for (channels, rendering, with, without) in [
            (
                &harmony,
                "<|start|>assistant",
                "<|start|>assistant<|channel|>analysis<|message|>",
                "<|start|>assistant<|channel|>final<|message|>",
            ),
            (&tags, "<|im_start|>a\n", "<|im_start|>a\n<think>\n", "<|im_start|>a\n"),
            // A template that opens the thought itself, as those of models do that always think.
            (&tags, "a\n<think>\n", "a\n<think>\n", "a\n<think>\n\n</think>\n\n"),
            (&brackets, "[/INST]", "[/INST][THINK]", "[/INST]"),
            (&brackets, "[/INST][THINK]", "[/INST][THINK]", "[/INST][THINK][/THINK]"),
        ] {
            assert_eq!(opened(channels, rendering, Some(&thinking)), with);
            assert_eq!(opened(channels, rendering, None), without);
        }
        assert_eq!(opened(&plain, "x", None), "x");
        // Channels that only the vocabulary has are not written into another format.
        assert_eq!(opened(&Channels::find("<|im_start|>", |_| true), "x", None), "x");
        let error = plain.open(&mut Vec::new(), Some(&thinking)).unwrap_err().to_string();
        assert_eq!(
            error,
            "request: the model file marks no thoughts; leave thinking out, or say what ends it"
        );
    }

    #[test]
    fn what_follows_a_thought_is_the_family_s_and_a_caller_s_end_stands_for_itself() {
        let harmony = Channels::find("<|channel|><|message|>", |_| false);
        let thought = |end: Option<&str>| {
            let thinking = Thinking { end: end.map(str::to_owned), max_tokens: 9 };
            harmony.open(&mut Vec::new(), Some(&thinking)).unwrap().unwrap()
        };
        let own = Thought {
            max_tokens: 9,
            end: "<|end|>".to_owned(),
            bridge: "<|start|>assistant<|channel|>final<|message|>".to_owned(),
        };
        assert_eq!(thought(None), own);
        assert_eq!(thought(Some("<|end|>")), own);
        let said = Thought { max_tokens: 9, end: "DONE".to_owned(), bridge: String::new() };
        assert_eq!(thought(Some("DONE")), said);
    }
}
