//! The built-in model with the built-in tools: what a worker that runs it answers to a hired job.

use marque_models::{Constraint, Llama, Message, Model as _, Request};
use serde_json::json;

#[tokio::test]
async fn scratch() {
    let model = Llama::built_in().unwrap();
    let schema = json!({"type":"object","properties":{"tool":{"const":"finish"},"args":{"type":"object","properties":{"answer":{"type":"string"}},"required":["answer"],"additionalProperties":false}},"required":["tool","args"],"additionalProperties":false});
    for job in ["", " Job: index wind.", " Job: simulate horta wind.", " Then index wind.", " index wind"] {
        for value in ["Horta 14.2", "Flores 22.8", "Ponta Delgada 16.1", "14.2"] {
            let messages = vec![
                Message::system("finish(answer) done, report the answer"),
                Message::user(format!("Read https://feed.example/wind.csv and tell me the value.{job}")),
                Message::assistant(r#"{"tool":"fetch_data","args":{"url":"https://feed.example/wind.csv"}}"#),
                Message::tool(json!({"value": value}).to_string()),
            ];
            let mut request = Request::new(messages).max_tokens(64);
            request.constraint = Constraint::JsonSchema(schema.clone());
            match model.generate(request).await { Ok(g) => println!("{job:?} {value:?} -> {}", g.text), Err(e) => println!("{job:?} {value:?} -> ERR {e}") }
        }
    }
    for job in ["Job: index wind.", "index wind", "Hire compute to index wind."] {
        for value in ["Horta 14.2", "14.2"] {
        let messages = vec![
            Message::system("finish(answer) done, report the answer"),
            Message::user(format!("{job} Read https://feed.example/wind.csv and tell me the value.")),
            Message::assistant(r#"{"tool":"fetch_data","args":{"url":"https://feed.example/wind.csv"}}"#),
            Message::tool(json!({"value": value}).to_string()),
        ];
        let mut request = Request::new(messages).max_tokens(64);
        request.constraint = Constraint::JsonSchema(schema.clone());
        match model.generate(request).await { Ok(g) => println!("FIRST {job:?} {value:?} -> {}", g.text), Err(e) => println!("ERR {e}") }
        }
    }
    println!("{}", marque_tools::digest::digest(&std::fs::read("../examples/data/wind.csv").unwrap(), Some("text/csv")));
}
