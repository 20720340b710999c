//! Whole prompts of four families against what their formats document
//! (`tests/templates/README.md`).

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::*;
use crate::channel::Channels;
use crate::message::ToolCall;
use crate::request::Thinking;

struct Family {
    template: &'static str,
    golden: &'static str,
    bos: &'static str,
    eos: &'static str,
}

macro_rules! family {
    ($name:literal, $bos:literal, $eos:literal) => {
        Family {
            template: include_str!(concat!("../../tests/templates/", $name, ".jinja")),
            golden: include_str!(concat!("../../tests/templates/", $name, ".golden")),
            bos: $bos,
            eos: $eos,
        }
    };
}

const QWEN3: Family = family!("qwen3", "", "<|im_end|>");
const LLAMA3: Family = family!("llama3", "<|begin_of_text|>", "<|eot_id|>");
const GEMMA: Family = family!("gemma", "<bos>", "<eos>");
const GPT_OSS: Family = family!("gpt-oss", "<|startoftext|>", "<|return|>");

struct Conversation {
    name: &'static str,
    messages: Vec<Message>,
    tools: Vec<ToolDefinition>,
    thinking: bool,
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn conversations() -> Vec<Conversation> {
    let tools = || {
        let place = json!({ "type": "string", "description": "Where, e.g. \"Brest\"." });
        let unit = json!({ "type": "string", "enum": ["m/s", "kn"], "default": "m/s" });
        let wind = json!({
            "type": "object",
            "properties": { "place": place, "unit": unit },
            "required": ["place"],
        });
        vec![
            ToolDefinition::new("get_wind", "Wind at a place.", wind),
            ToolDefinition::new(
                "get_tide",
                "Tide tables.",
                json!({ "type": "object", "properties": {} }),
            ),
        ]
    };
    let terse = || Message::system("You are terse.");
    let windy = || Message::user("How windy is it?");
    let brest = || Message::user("How windy is it in Brest?");
    let thanks = || Message::user("Thanks.");
    let wind = ToolCall::new("c1", "get_wind", map(json!({ "place": "Brest" })));
    let knots = ToolCall::new("c1", "get_wind", map(json!({ "place": "Brest", "unit": "kn" })));
    let tide = ToolCall::new("c2", "get_tide", Map::new());
    let blows = || Message::answer(&wind, r#"{"wind": "14 m/s"}"#);
    let said = || Message::assistant("14 m/s.");
    let words = |name, messages| Conversation { name, messages, tools: vec![], thinking: false };
    let with_tools =
        |name, messages| Conversation { name, messages, tools: tools(), thinking: false };
    vec![
        words("plain", vec![windy()]),
        words("system", vec![terse(), windy()]),
        words(
            "turns",
            vec![terse(), Message::user(" Hi \n"), Message::assistant("Hello.\n"), windy()],
        ),
        with_tools("offered", vec![terse(), brest()]),
        with_tools("tool", vec![brest(), Message::calls([wind.clone()]), blows()]),
        with_tools(
            "parallel",
            vec![
                Message::user("Wind and tide?"),
                Message::calls([knots, tide.clone()]),
                blows(),
                Message::answer(&tide, "high at 12:40"),
            ],
        ),
        with_tools(
            "spoken",
            vec![
                brest(),
                Message::assistant("Let me look.").call(wind.clone()),
                blows(),
                said(),
                thanks(),
            ],
        ),
        Conversation { thinking: true, ..words("thinking", vec![windy()]) },
        words("thought_dropped", vec![windy(), said().thinking("Look it up."), thanks()]),
        with_tools(
            "thought_kept",
            vec![brest(), Message::calls([wind.clone()]).thinking("I need the wind."), blows()],
        ),
    ]
}

fn prompt(family: &Family, conversation: &Conversation) -> Result<String, ModelError> {
    let now = UNIX_EPOCH + Duration::from_secs(1_709_208_000); // 2024-02-29 12:00
    let (bos, eos) = (family.bos.to_owned(), family.eos.to_owned());
    let template = ChatTemplate::new(Some(family.template.to_owned()), bos, eos, now)?;
    let Conversation { messages, tools, thinking, .. } = conversation;
    let mut pieces = template.render(messages, tools, *thinking)?;
    let thinking = thinking.then(|| Thinking::new(64));
    Channels::of_template(&template).open(&mut pieces, thinking.as_ref())?;
    Ok(text(&pieces))
}

fn check(family: &Family) {
    let mut parts = family.golden.strip_prefix("=== ").unwrap().split("\n=== ");
    for conversation in conversations() {
        let (name, expected) = parts.next().unwrap().split_once('\n').unwrap();
        assert_eq!(name, conversation.name);
        let found = match prompt(family, &conversation) {
            Ok(prompt) => prompt,
            Err(error) => format!("!! {error}"),
        };
        // The last part ends with the file's line break.
        let expected =
            if name == "thought_kept" { expected.strip_suffix('\n').unwrap() } else { expected };
        assert_eq!(found, expected, "{name}:\n{found}\n---\n{expected}");
    }
    assert_eq!(parts.next(), None);
}

#[test]
fn qwen3_s_prompts_are_those_that_it_was_trained_on() {
    check(&QWEN3);
}

#[test]
fn llama_3_s_prompts_are_those_that_it_was_trained_on() {
    check(&LLAMA3);
}

#[test]
fn gemma_s_prompts_are_those_that_it_was_trained_on() {
    check(&GEMMA);
}

#[test]
fn gpt_oss_s_prompts_are_those_that_it_was_trained_on() {
    check(&GPT_OSS);
}

#[test]
fn what_a_template_writes_after_a_reply_ends_a_turn() {
    for (family, after) in [
        (QWEN3, "<|im_end|>\n<|im_start|>user\n"),
        (LLAMA3, "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n"),
        (GEMMA, "<end_of_turn>\n<start_of_turn>user\n"),
        (GPT_OSS, "<|end|><|start|>user<|message|>"),
    ] {
        let source = Some(family.template.to_owned());
        let template = ChatTemplate::new(source, family.bos.into(), family.eos.into(), UNIX_EPOCH);
        assert_eq!(template.unwrap().after_a_reply().as_deref(), Some(after));
    }
}
