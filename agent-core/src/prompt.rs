//! What a model reads and what it may write, from the tools that the policy permits now.
//!
//! The system text is a line a tool, `name(arg,arg) description`, and the model's reply is one call
//! of one of them, under a grammar. Both come from the same list, so a model is never told of a
//! tool that it cannot call.

use crate::{AgentError, Tool, call::FINISH, schema};
use marque_steward_client::View;
use schemars::JsonSchema;
use serde_json::Value;
use std::sync::Arc;

/// The description of `finish`, which is no tool and needs no permission.
const FINISH_DESCRIPTION: &str = "done, report the answer";

/// What a model is offered in one step.
#[derive(Debug)]
pub(crate) struct Offer {
    /// The system text.
    pub(crate) system: String,
    /// The schema of the reply.
    pub(crate) reply: Value,
}

/// A tool is offered if the policy permits it and the program has it, in the program's order.
pub(crate) fn offer<T: JsonSchema>(
    tools: &[Arc<dyn Tool>],
    view: &View,
) -> Result<Offer, AgentError> {
    let mut rows: Vec<(&str, &str, Value)> = Vec::new();
    for tool in tools {
        let name = tool.name();
        if view.tools.iter().any(|permitted| permitted.name == name) {
            rows.push((name, tool.description(), arguments_of(tool.as_ref())?));
        }
    }
    let answer = schema::of_answer::<T>();
    if schema::is_recursive(&answer) {
        return Err(AgentError::AnswerType(std::any::type_name::<T>()));
    }
    rows.push((FINISH, FINISH_DESCRIPTION, answer));
    let lines: Vec<_> = rows
        .iter()
        .map(|(name, description, args)| {
            let names: Vec<_> = schema::arguments(args).collect();
            format!("{name}({}) {description}", names.join(","))
        })
        .collect();
    let reply = schema::of_reply(rows.iter().map(|(name, _, args)| (*name, args)));
    Ok(Offer { system: lines.join("\n"), reply })
}

/// The schema of a tool's arguments, if it can be offered.
fn arguments_of(tool: &dyn Tool) -> Result<Value, AgentError> {
    let cannot = |why| AgentError::Tool { name: tool.name().to_owned(), why };
    if tool.name() == FINISH {
        return Err(cannot("the name is taken by the answer"));
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
