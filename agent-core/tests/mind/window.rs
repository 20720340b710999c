//! What a model is shown, counted with a real tokenizer: the fixed part of every prompt, and a
//! conversation that is longer than the context.

use crate::{desk::Desk, scout};
use async_trait::async_trait;
use marque_agent_core::{AgentError, Cx, Event, TaskLimits};
use marque_macros::tool;
use marque_models::{
    Generation, Llama, LlamaOptions, Message, Model, ModelError, ModelInfo, Request, Role, Stop,
    Usage,
};
use serde_json::{Value, json};
use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, OnceLock},
};

/// The tokens that may be gone before a goal is read.
const FLOOR: usize = 600;

/// Counts with the built-in model's template and tokenizer, replies as a function of the
/// conversation, and makes sure that every prompt fits.
#[derive(Debug)]
struct Counting {
    llama: Llama,
    info: ModelInfo,
    steps: u32,
    prompts: Mutex<Vec<(usize, Vec<Message>)>>,
    /// The first prompt, as the model reads it.
    first: OnceLock<String>,
}

impl Counting {
    fn new(context: u32, built_in: bool, steps: u32) -> Arc<Self> {
        Self::with(Llama::built_in().unwrap(), context, built_in, steps)
    }

    fn with(llama: Llama, context: u32, built_in: bool, steps: u32) -> Arc<Self> {
        let info = ModelInfo { context_length: context, built_in, ..llama.info().clone() };
        Arc::new(Self { llama, info, steps, prompts: Mutex::default(), first: OnceLock::new() })
    }
}

#[async_trait]
impl Model for Counting {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn count_tokens(&self, text: &str) -> Result<usize, ModelError> {
        self.llama.count_tokens(text)
    }

    fn count_prompt(&self, request: &Request) -> Result<usize, ModelError> {
        self.llama.count_prompt(request)
    }

    async fn generate(&self, request: Request) -> Result<Generation, ModelError> {
        let tokens = self.count_prompt(&request)?;
        let all = tokens + request.max_tokens as usize;
        assert!(all <= self.info.context_length as usize, "{all} tokens");
        self.first.get_or_init(|| self.llama.prompt_text(&request).unwrap());
        let mut results = request.messages.iter().filter(|message| message.role == Role::Tool);
        let last =
            results.next_back().and_then(|it| serde_json::from_str::<Value>(&it.content).ok());
        let next = last.map_or(0, |result| result["page"].as_u64().unwrap() + 1);
        let text = match next < u64::from(self.steps) {
            true => json!({ "tool": "page", "args": { "number": next } }),
            false => json!({ "tool": "finish", "args": { "answer": "read" } }),
        };
        self.prompts.lock().unwrap().push((tokens, request.messages));
        Ok(Generation {
            text: text.to_string(),
            thinking: String::new(),
            usage: Usage::default(),
            stop: Stop::End,
            tokens: Vec::new(),
        })
    }
}

#[derive(serde::Serialize)]
struct Page {
    page: u32,
    text: String,
}

/// Reads a page of the book.
#[tool(crate = marque_agent_core)]
async fn page(_cx: &Cx, number: u32) -> Result<Page, io::Error> {
    Ok(Page { page: number, text: format!("words of page {number} and more ").repeat(200) })
}

/// Get a URL as text or a part of its JSON; pays for it within the policy.
#[tool(crate = marque_agent_core)]
async fn fetch(_cx: &Cx, url: String, pick: Option<String>) -> Result<String, io::Error> {
    Ok(format!("{url}{pick:?}"))
}

/// Write a text to a file in a granted folder.
#[tool(crate = marque_agent_core)]
async fn write_file(_cx: &Cx, path: String, text: String) -> Result<String, io::Error> {
    Ok(format!("{path}{text}"))
}

/// Search what was remembered before.
#[tool(crate = marque_agent_core)]
async fn recall(_cx: &Cx, query: String) -> Result<String, io::Error> {
    Ok(query)
}

/// Pay a payee of the policy.
#[tool(crate = marque_agent_core)]
async fn pay(
    _cx: &Cx,
    payee: String,
    /// An amount with its asset, such as "0.05 USDC".
    amount: String,
    reason: Option<String>,
) -> Result<String, io::Error> {
    Ok(format!("{payee}{amount}{reason:?}"))
}

const TOOLS: [&str; 5] = ["page", "fetch", "write_file", "recall", "pay"];

const GOAL: &str = "Is it worth sailing in Horta today?";

/// The tokens of a prompt before its goal.
async fn floor_of(model: &Arc<Counting>) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&TOOLS, &[]));
    let agent = scout(&desk, dir.path(), &[]).model(model.clone()).build().await.unwrap();
    let agent = agent.tool(page).tool(fetch).tool(write_file).tool(recall).tool(pay);
    let _: String = agent.run(GOAL).await.unwrap();
    let prompts = model.prompts.lock().unwrap();
    prompts[0].0 - model.count_tokens(GOAL).unwrap()
}

#[tokio::test]
async fn the_fixed_part_of_a_prompt_with_five_tools_is_small() {
    for (built_in, tokens) in [(true, 123), (false, 213)] {
        let floor = floor_of(&Counting::new(2_048, built_in, 0)).await;
        assert_eq!(floor, tokens, "built-in {built_in}");
        assert!(floor <= FLOOR, "{floor} tokens");
    }
}

/// The built-in model with another template in its file.
fn templated(template: &str, dir: &Path) -> Llama {
    const KEY: &[u8] = b"tokenizer.chat_template";
    let mut file = std::fs::read(Llama::built_in_path().unwrap()).unwrap();
    let key = file.windows(KEY.len()).position(|window| window == KEY).unwrap();
    // After the key the kind of value, a string, and its length.
    let length = key + KEY.len() + 4;
    let text = length + 8;
    assert_eq!(file[length - 4..length], 8_u32.to_le_bytes());
    let old = u64::from_le_bytes(file[length..text].try_into().unwrap()) as usize;
    // The weights stay where they are aligned.
    let mut comment = "{##}".to_owned();
    while (template.len() + comment.len()) % 32 != old % 32 {
        comment.insert(2, ' ');
    }
    let template = format!("{template}{comment}");
    file.splice(text..text + old, template.bytes());
    file[length..text].copy_from_slice(&(template.len() as u64).to_le_bytes());
    let path = dir.join("model.gguf");
    std::fs::write(&path, file).unwrap();
    Llama::load(path, LlamaOptions::default()).unwrap()
}

/// The texts in `floor/` are what was counted by a vocabulary of 100,000 (cl100k_base, each control token
/// as one), less the goal: 445 tokens for Qwen3, 317 for gpt-oss, 595 for Llama 3. Whoever changes one
/// counts again, here and in the README.
#[tokio::test]
async fn the_fixed_part_of_a_prompt_whose_template_writes_tools_as_json_is_known() {
    let mut floors = Vec::new();
    for (family, template, text) in [
        (
            "Qwen3",
            include_str!("../../../models/tests/templates/qwen3.jinja"),
            include_str!("floor/qwen3.txt"),
        ),
        (
            "gpt-oss",
            include_str!("../../../models/tests/templates/gpt-oss.jinja"),
            include_str!("floor/gpt-oss.txt"),
        ),
        (
            "Llama 3",
            include_str!("../../../models/tests/templates/llama3.jinja"),
            include_str!("floor/llama3.txt"),
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let model = Counting::with(templated(template, dir.path()), 4_096, false, 0);
        floors.push((family, floor_of(&model).await));
        let is_same = |line: &&str| !line.starts_with("Current date") && !line.starts_with("Today");
        let lines = |text: &str| -> Vec<String> {
            text.trim_end().lines().filter(is_same).map(str::to_owned).collect()
        };
        assert_eq!(lines(model.first.get().unwrap()), lines(text), "{family}");
    }
    assert_eq!(floors, [("Qwen3", 780), ("gpt-oss", 628), ("Llama 3", 2_027)]);
}

#[tokio::test]
async fn a_long_task_works_in_a_small_context_and_its_goal_is_never_cut() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["page"], &[]));
    let model = Counting::new(2_048, false, 40);
    let limits = TaskLimits { steps: 64, ..TaskLimits::default() };
    let agent = scout(&desk, dir.path(), &[]).model(model.clone()).limits(limits);
    let agent = agent.build().await.unwrap().tool(page);
    let mut events = agent.events();
    let goal = "Read the book to its end and say so.";
    let answer: String = agent.run_as("book", goal).await.unwrap();
    assert_eq!(answer, "read");
    assert_eq!(agent.task("book").await.unwrap().unwrap().steps().len(), 40);
    let mut checkpoints = 0;
    while let Ok(event) = events.try_recv() {
        checkpoints += usize::from(matches!(event, Event::Checkpoint { .. }));
    }
    let prompts = model.prompts.lock().unwrap();
    let kept = prompts.windows(2).filter(|pair| pair[1].1.starts_with(&pair[0].1)).count();
    assert_eq!(kept + checkpoints, 40, "between checkpoints a conversation is only added to");
    assert!((2..=14).contains(&checkpoints), "{checkpoints} checkpoints");
    for (_, messages) in prompts.iter() {
        assert_eq!(messages[1].content, goal);
    }
    let (_, last) = prompts.last().unwrap();
    assert!(last[3].content.contains("called_before"), "{}", last[3].content);
    assert!(last[3].content.contains("page {"), "{}", last[3].content);
}

#[tokio::test]
async fn a_result_that_was_shortened_is_read_on_by_the_model_and_whole_for_the_caller() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["page"], &[]));
    let script = [
        r#"{"tool":"page","args":{"number":7}}"#,
        r#"{"tool":"read_more","args":{"step":0,"part":2}}"#,
        r#"{"tool":"read_more","args":{"step":9,"part":1}}"#,
        r#"{"tool":"finish","args":{"answer":"read"}}"#,
    ];
    let agent = scout(&desk, dir.path(), &script).build().await.unwrap().tool(page);
    let _: String = agent.run_as("book", "read").await.unwrap();
    let task = agent.task("book").await.unwrap().unwrap();
    let whole = agent.result("book", 0).await.unwrap().unwrap();
    assert!(whole.len() > 4_800);
    let [first, second, third] = task.steps() else { panic!() };
    let on = json!({ "tool": "read_more", "args": { "step": 0, "part": 1 } });
    assert_eq!(first.result["shortened"], on, "the call that reads on");
    let text = second.result["text"].as_str().unwrap();
    assert_eq!(text, whole.chars().skip(2_000).take(2_000).collect::<String>());
    assert_eq!(third.result["error"], "no step of this task has that number");
    let proposals = desk.proposals.lock().unwrap();
    assert_eq!(proposals.len(), 1, "what is the task's own is nobody's to permit");
}

#[tokio::test]
async fn what_cannot_fit_is_an_honest_error() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["page"], &[]));
    let model = Counting::new(2_048, false, 1);
    let agent = scout(&desk, dir.path(), &[]).model(model).build().await.unwrap().tool(page);
    let error = agent.run::<String>("word ".repeat(2_000)).await.unwrap_err();
    let AgentError::Context { tokens, limit } = error else { panic!("{error}") };
    assert!(tokens > limit && limit == 2_048 - 512, "{tokens} of {limit}");
}
