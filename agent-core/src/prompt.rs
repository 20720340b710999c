//! What a model reads and what it may write, from the tools that the policy permits now.
//!
//! The tools are handed to the model as definitions, which its own chat template tells it in the
//! way that it was trained with: a template without tools shows a line a tool, `name(arg,arg?)
//! description`. The model's reply is one call of one of them, under a grammar. Both come from the
//! same list, so a model is never told of a tool that it cannot call. What is no tool is told where it is
//! needed: `finish` by the frame, `read_more` by a result that was shortened. The built-in model was
//! trained with `finish` among the tools, and reads it there.

use crate::{
    AgentError, Tool,
    call::{FINISH, MOST_CALLS, READ_MORE},
    schema,
};
use marque_models::{Message, ModelInfo, ToolDefinition};
use marque_steward_client::View;
use schemars::JsonSchema;
use serde_json::{Value, json};
use std::sync::Arc;

/// The description of `finish`, which is no tool and needs no permission.
const FINISH_DESCRIPTION: &str = "done, report the answer";

/// How a reply is written, before the form of the answer and after it. Templates that know tools tell a
/// form of their own, which the grammar does not take.
const FORM: (&str, &str) = (
    "Work on the goal step by step. Each reply is one JSON object and nothing else: \
     {\"tool\":NAME,\"args\":{...}}. Once you know the answer: {\"tool\":\"finish\",\"args\":",
    "}. A refusal is final: do something else or finish with what you know.",
);

/// How several calls are written, where there are tools for it.
const TOGETHER: &str = "Calls that need nothing of each other go into one reply: \
                        {\"calls\":[{\"tool\":NAME,\"args\":{...}},...]}. They may use:";

/// What a model is offered in one step.
#[derive(Debug)]
pub(crate) struct Offer {
    /// What it is told beside the tools; the built-in model was trained without a word.
    pub(crate) frame: Option<Message>,
    /// What it may call.
    pub(crate) tools: Vec<ToolDefinition>,
    /// The schema of the reply.
    pub(crate) reply: Value,
}

/// A tool is offered if the policy permits it and the program has it, in the program's order.
pub(crate) fn offer<T: JsonSchema>(
    tools: &[Arc<dyn Tool>],
    view: &View,
    model: &ModelInfo,
) -> Result<Offer, AgentError> {
    let mut offered = Vec::new();
    let mut calls = Vec::new();
    let mut independent = Vec::new();
    for tool in tools {
        let name = tool.name();
        if view.tools.iter().any(|permitted| permitted.name == name) {
            let arguments = arguments_of(tool.as_ref())?;
            let shown = schema::shown(&arguments);
            offered.push(ToolDefinition::new(name, tool.description(), shown));
            let call = schema::of_call(name, schema::plain(&arguments));
            independent.extend(tool.independent().then(|| (name, call.clone())));
            calls.push(call);
        }
    }
    let answer = schema::of_answer::<T>();
    if schema::is_recursive(&answer) {
        return Err(AgentError::AnswerType(std::any::type_name::<T>()));
    }
    let frame = if model.built_in {
        // It was trained with the tools alone, one call at a time.
        independent.clear();
        offered.push(ToolDefinition::new(FINISH, FINISH_DESCRIPTION, schema::shown(&answer)));
        None
    } else {
        if !offered.is_empty() {
            let number = json!({ "type": "integer", "minimum": 0 });
            let arguments = json!({
                "type": "object",
                "properties": { "step": number, "part": number },
                "required": ["step", "part"],
                "additionalProperties": false,
            });
            calls.push(schema::of_call(READ_MORE, arguments));
        }
        let (before, after) = FORM;
        let form = format!("{before}{}{after}", schema::sketch(&answer));
        let names: Vec<_> = independent.iter().map(|(name, _)| *name).collect();
        Some(Message::system(match names.is_empty() {
            true => form,
            false => format!("{form} {TOGETHER} {}.", names.join(", ")),
        }))
    };
    calls.push(schema::of_call(FINISH, schema::plain(&answer)));
    if !independent.is_empty() {
        let together = independent.into_iter().map(|(_, call)| call).collect();
        calls.push(schema::of_calls(together, MOST_CALLS));
    }
    Ok(Offer { frame, tools: offered, reply: schema::one_of(calls) })
}

/// The schema of a tool's arguments, if it can be offered.
fn arguments_of(tool: &dyn Tool) -> Result<Value, AgentError> {
    let cannot = |why| AgentError::Tool { name: tool.name().to_owned(), why };
    if tool.name() == FINISH {
        return Err(cannot("the name is taken by the answer"));
    }
    if tool.name() == READ_MORE {
        return Err(cannot("the name is taken by what reads on in results"));
    }
    if tool.description().contains('\n') {
        return Err(cannot("its description has more than one line"));
    }
    let schema = tool.schema();
    if schema::is_recursive(&schema) {
        return Err(cannot("an argument's type contains itself"));
    }
    if schema.get("properties").is_none() {
        return Err(cannot("its schema is no object with properties"));
    }
    Ok(schema)
}
