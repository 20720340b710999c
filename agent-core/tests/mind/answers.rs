//! What a model is offered, what it is told, and what comes out.

use crate::{
    desk::{Desk, Say},
    scout,
    tools::{Feed, Weigh, add, add_twice, read},
};
use async_trait::async_trait;
use marque_agent_core::{Agent, AgentError, Event, TaskLimits, task::Failure};
use marque_models::{
    Constraint, Generation, Model, ModelError, ModelInfo, Request, Role, Scripted, ToolDefinition,
};
use marque_policies::{Argument, Intent};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, atomic::Ordering};

const FINISH: &str = r#"{"tool":"finish","args":{"answer":"done"}}"#;

/// A scripted model that remembers what it was asked.
#[derive(Debug)]
struct Listening {
    script: Scripted,
    heard: Mutex<Vec<Request>>,
}

#[async_trait]
impl Model for Listening {
    fn info(&self) -> &ModelInfo {
        self.script.info()
    }

    fn count_tokens(&self, text: &str) -> Result<usize, ModelError> {
        self.script.count_tokens(text)
    }

    async fn generate(&self, request: Request) -> Result<Generation, ModelError> {
        self.heard.lock().unwrap().push(request.clone());
        self.script.generate(request).await
    }
}

fn listening(script: &[&str]) -> Arc<Listening> {
    Arc::new(Listening { script: Scripted::new(script.iter().copied()), heard: Mutex::default() })
}

/// The results that the model was shown last.
fn shown(model: &Listening) -> Vec<String> {
    let heard = model.heard.lock().unwrap();
    let last = heard.last().unwrap();
    let results = last.messages.iter().filter(|message| message.role == Role::Tool);
    results.map(|message| message.content.clone()).collect()
}

#[tokio::test]
async fn only_permitted_tools_reach_the_prompt_and_the_grammar() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["read", "elsewhere"], &[]));
    let model = listening(&[FINISH]);
    let agent = scout(&desk, dir.path(), &[]).model(model.clone()).build().await.unwrap();
    let answer: String = agent.tool(read).tool(add).run("say done").await.unwrap();
    assert_eq!(answer, "done");
    let heard = model.heard.lock().unwrap();
    let Request { messages, tools, .. } = &heard[0];
    let roles: Vec<_> = messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::System, Role::User]);
    assert!(!messages[0].content.contains("read("), "tools are told by the model's own template");
    assert_eq!(messages[1].content, "say done");
    let arguments = |names: &[(&str, Value)]| {
        let named = names.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone()));
        json!({
            "type": "object",
            "properties": named.collect::<serde_json::Map<_, _>>(),
            "required": names.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            "additionalProperties": false,
        })
    };
    let (text, number) = (json!({ "type": "string" }), json!({ "type": "integer", "minimum": 0 }));
    let (url, answer) = (arguments(&[("url", text.clone())]), arguments(&[("answer", text)]));
    let more = arguments(&[("step", number.clone()), ("part", number)]);
    // What a model is shown says nothing that the grammar sees to; what is no tool is told elsewhere.
    let shown = json!({ "properties": { "url": { "type": "string" } }, "required": ["url"] });
    assert_eq!(*tools, [ToolDefinition::new("read", "read a web page or feed", shown)]);
    let form = r#"Once you know the answer: {"tool":"finish","args":{"answer":string}}."#;
    assert!(messages[0].content.contains(form), "{}", messages[0].content);
    let Constraint::JsonSchema(schema) = &heard[0].constraint else { panic!("no schema") };
    let call =
        |tool: &str, args: Value| arguments(&[("tool", json!({ "const": tool })), ("args", args)]);
    let calls = [call("read", url), call("read_more", more), call("finish", answer)];
    assert_eq!(*schema, json!({ "oneOf": calls }));
}

#[tokio::test]
async fn an_answer_has_the_type_that_was_asked_for() {
    #[derive(Deserialize, JsonSchema, Debug, PartialEq)]
    struct Advice {
        sail: bool,
        knots: u32,
    }
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&[], &[]));
    let script = [r#"{"tool":"finish","args":{"sail":true,"knots":14}}"#];
    let agent = scout(&desk, dir.path(), &script).build().await.unwrap();
    let advice: Advice = agent.run_as("typed", "is it worth sailing?").await.unwrap();
    assert_eq!(advice, Advice { sail: true, knots: 14 });
    let error = agent.run_as::<Vec<String>>("typed", "is it worth sailing?").await.unwrap_err();
    assert!(matches!(error, AgentError::Answer { .. }), "{error}");
}

#[tokio::test]
async fn a_tool_calls_another_by_its_name_and_returns_a_value() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["add", "add_twice"], &[]));
    let model = listening(&[
        r#"{"tool":"add_twice","args":{"number":7}}"#,
        r#"{"tool":"add","args":{"first":1}}"#,
        r#"{"tool":"add","args":{"first":1,"third":2}}"#,
        FINISH,
    ]);
    let agent = scout(&desk, dir.path(), &[]).model(model.clone()).build().await.unwrap();
    let _: String = agent.tool(add).tool(add_twice).run("add").await.unwrap();
    let shown = shown(&model);
    assert_eq!(shown[0], r#"{"value":"21"}"#);
    assert_eq!(shown[1], r#"{"error":"there is nothing to add"}"#);
    assert!(shown[2].starts_with(r#"{"error":"bad arguments: unknown field"#), "{}", shown[2]);
}

#[tokio::test]
async fn a_refusal_is_shown_to_the_model_by_its_rule_and_nothing_is_fetched() {
    let dir = tempfile::tempdir().unwrap();
    let feed = Feed::answering("200 OK", r#"{"value":"7"}"#).await;
    let desk = Arc::new(Desk::permitting(&["read"], &[&feed.host]));
    desk.says("read", [Say::Refuse("tool.read.rate"), Say::Allow, Say::Refuse("tool.read.hosts")]);
    let (one, two) = (feed.call("read", "1"), feed.call("read", "2"));
    let model = listening(&[&one, &two, FINISH]);
    let agent = scout(&desk, dir.path(), &[]).model(model.clone()).build().await.unwrap();
    let mut events = agent.events();
    let _: String = agent.tool(read).run("read").await.unwrap();
    assert_eq!(
        shown(&model),
        [
            r#"{"error":"refused by policy: tool.read.rate","instead":"do something else, or finish"}"#,
            r#"{"error":"refused by policy: tool.read.hosts","instead":"do something else, or finish"}"#
        ]
    );
    assert_eq!(feed.requests.load(Ordering::SeqCst), 0);
    let mut refused = 0;
    while let Ok(event) = events.try_recv() {
        refused += usize::from(matches!(event, Event::Refused { .. }));
    }
    assert_eq!(refused, 2);
}

#[tokio::test]
async fn exactly_the_arguments_that_the_policy_constrains_are_told_with_every_use() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["weigh"], &[]));
    desk.change(|view| {
        let names = ["city", "days", "urgent", "share", "list", "missing"];
        view.tools[0].arguments = names.map(str::to_owned).to_vec();
    });
    let call = json!({ "tool": "weigh", "args": {
        "city": "Rome", "days": -3, "urgent": true, "share": 0.5, "list": [1, "a"], "note": "mine",
    } });
    let call = call.to_string();
    let agent = scout(&desk, dir.path(), &[&call, FINISH]).build().await.unwrap();
    let _: String = agent.tool(Weigh).run("weigh").await.unwrap();
    let text = |text: &str| Argument::Text(text.to_owned());
    let told = [
        ("city", text("Rome")),
        ("days", Argument::Integer(-3)),
        ("list", text(r#"[1,"a"]"#)),
        ("share", text("0.5")),
        ("urgent", Argument::Flag(true)),
    ];
    let told = told.map(|(name, value)| (name.to_owned(), value)).into();
    let proposals = desk.proposals.lock().unwrap();
    let Intent::Tool(usage) = &proposals[0].intent else { panic!() };
    assert_eq!(usage.arguments, told);
}

#[tokio::test]
async fn a_refused_argument_tells_the_model_what_it_must_be_like() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["weigh"], &[]));
    desk.says("weigh", [Say::Refuse("tool.weigh.arguments.city")]);
    let model = listening(&[r#"{"tool":"weigh","args":{"city":"Rome"}}"#, FINISH]);
    let agent = scout(&desk, dir.path(), &[]).model(model.clone()).build().await.unwrap();
    let _: String = agent.tool(Weigh).run("weigh").await.unwrap();
    assert_eq!(
        shown(&model),
        [
            r#"{"error":"refused by policy: tool.weigh.arguments.city (allowed: what it may be)","instead":"mend the arguments"}"#
        ]
    );
}

#[tokio::test]
async fn each_request_of_a_tool_is_proposed_with_its_url_under_an_ordinal_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let feed = Feed::answering("200 OK", r#"{"value":"7"}"#).await;
    let desk = Arc::new(Desk::permitting(&["read"], &[&feed.host]));
    let call = feed.call("read", "x");
    let agent = scout(&desk, dir.path(), &[&call, FINISH]).build().await.unwrap();
    let _: String = agent.tool(read).run_as("two", "read").await.unwrap();
    let proposals = desk.proposals.lock().unwrap();
    let asked: Vec<_> = proposals
        .iter()
        .map(|proposal| {
            let marque_policies::Intent::Tool(usage) = &proposal.intent else { panic!() };
            let fetch = usage.fetch.as_ref().map(|fetch| format!("{}{}", fetch.host, fetch.path));
            (proposal.step, proposal.ordinal, fetch)
        })
        .collect();
    let host = &feed.host;
    assert_eq!(
        asked,
        [(0, 0, None), (0, 1, Some(format!("{host}/x"))), (0, 3, Some(format!("{host}/x?again")))]
    );
}

#[tokio::test]
async fn an_answer_that_is_no_success_is_an_error_for_the_model() {
    let dir = tempfile::tempdir().unwrap();
    let feed = Feed::answering("404 Not Found", "no such page").await;
    let desk = Arc::new(Desk::permitting(&["read"], &[&feed.host]));
    let call = feed.call("read", "x");
    let model = listening(&[&call, FINISH]);
    let agent = scout(&desk, dir.path(), &[]).model(model.clone()).build().await.unwrap();
    let _: String = agent.tool(read).run("read").await.unwrap();
    assert_eq!(
        shown(&model),
        [format!(r#"{{"error":"{} answered 404: no such page"}}"#, feed.host)]
    );
}

#[tokio::test]
async fn a_model_that_repeats_itself_is_stopped_before_the_third_time() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["add"], &[]));
    let same = r#"{"tool":"add","args":{"first":1,"second":1}}"#;
    let agent = scout(&desk, dir.path(), &[same, same, same]).build().await.unwrap();
    let error = agent.tool(add).run::<String>("add").await.unwrap_err();
    let AgentError::Failed { failure, .. } = error else { panic!("{error}") };
    assert!(matches!(failure, Failure::Repeated(_)), "{failure}");
    assert_eq!(desk.proposals.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn every_step_is_committed_to_without_its_words() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["add"], &[]));
    let call = r#"{"tool":"add","args":{"first":1,"second":1}}"#;
    let agent = scout(&desk, dir.path(), &[call, FINISH]).build().await.unwrap();
    let _: String = agent.tool(add).run("add").await.unwrap();
    let notes = desk.notes.lock().unwrap();
    let said: Vec<_> = notes.iter().map(|note| (note.step, note.what.as_str())).collect();
    assert_eq!(said, [(0, "call"), (0, "result"), (1, "answer")]);
}

#[tokio::test]
async fn an_agent_that_cannot_be_is_refused_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&[], &[]));
    for name in ["", "Scout", "../scout", "a b", &"x".repeat(33)] {
        let error = Agent::builder(name)
            .model(Arc::new(Scripted::new([""; 0])))
            .steward(Arc::clone(&desk) as Arc<_>)
            .mind_dir(dir.path())
            .limits(TaskLimits::default())
            .build()
            .await
            .unwrap_err();
        assert!(matches!(error, AgentError::Name(_)), "{error}");
    }
    let error = Agent::builder("scout").build().await.unwrap_err();
    assert_eq!(error.to_string(), "the agent has no model; give the builder one");
}

#[tokio::test]
async fn a_host_that_is_elsewhere_is_judged_and_asked_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let feed = Feed::answering("200 OK", r#"{"value":"7"}"#).await;
    let desk = Arc::new(Desk::permitting(&["read"], &[&feed.host]));
    let call = r#"{"tool":"read","args":{"url":"https://feed.example/x"}}"#;
    let place = format!("http://{}", feed.host).parse().unwrap();
    let names = [("https://feed.example".to_owned(), place)].into();
    let agent = scout(&desk, dir.path(), &[call, FINISH]).names(names);
    let agent = agent.build().await.unwrap().tool(read);
    let _: String = agent.run_as("moved", "read").await.unwrap();
    assert_eq!(
        agent.task("moved").await.unwrap().unwrap().steps()[0].result,
        json!({"value": "77"})
    );
    let proposals = desk.proposals.lock().unwrap();
    let marque_policies::Intent::Tool(usage) = &proposals[1].intent else { panic!() };
    assert_eq!(usage.fetch.as_ref().unwrap().host, feed.host);
}
