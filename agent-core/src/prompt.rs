//! What a model reads and what it may write, from the tools that the policy permits now.
//!
//! The tools are handed to the model as definitions, which its own chat template tells it in the
//! way that it was trained with: a template without tools shows a line a tool, `name(arg,arg?)
//! description`. The model's reply is one call of one of them, under a grammar. Both come from the
//! same list, so a model is never told of a tool that it cannot call.

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

/// The description of `read_more`, which is none either.
const READ_MORE_DESCRIPTION: &str = "read on in a result that says shortened";

/// How a reply is written. Templates that know tools tell a form of their own, which the grammar
/// does not take.
const FORM: &str = "Work on the goal step by step with the tools. Each reply is one JSON object and \
                    nothing else: {\"tool\":NAME,\"args\":{...}}. Call finish with the answer as soon \
                    as you know it. A refusal is final: asking again changes nothing, so do something \
                    else or finish with what you know.";

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
    let mut independent = Vec::new();
    for tool in tools {
        let name = tool.name();
        if view.tools.iter().any(|permitted| permitted.name == name) {
            let arguments = arguments_of(tool.as_ref())?;
            offered.push(ToolDefinition::new(name, tool.description(), arguments));
            independent.extend(tool.independent().then_some(name));
        }
    }
    if model.built_in {
        // It was trained with the tools alone, one call at a time.
        independent.clear();
    } else if !offered.is_empty() {
        let number = json!({ "type": "integer", "minimum": 0 });
        let arguments = json!({
            "type": "object",
            "properties": { "step": number, "part": number },
            "required": ["step", "part"],
            "additionalProperties": false,
        });
        offered.push(ToolDefinition::new(READ_MORE, READ_MORE_DESCRIPTION, arguments));
    }
    let answer = schema::of_answer::<T>();
    if schema::is_recursive(&answer) {
        return Err(AgentError::AnswerType(std::any::type_name::<T>()));
    }
    offered.push(ToolDefinition::new(FINISH, FINISH_DESCRIPTION, answer));
    let call = |tool: &ToolDefinition| schema::of_call(&tool.name, schema::plain(&tool.parameters));
    let mut replies: Vec<_> = offered.iter().map(call).collect();
    if !independent.is_empty() {
        let together = offered.iter().filter(|tool| independent.contains(&tool.name.as_str()));
        replies.push(schema::of_calls(together.map(call).collect(), MOST_CALLS));
    }
    let frame = (!model.built_in).then(|| match independent.is_empty() {
        true => Message::system(FORM),
        false => Message::system(format!("{FORM} {TOGETHER} {}.", independent.join(", "))),
    });
    Ok(Offer { frame, tools: offered, reply: schema::one_of(replies) })
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
