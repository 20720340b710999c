//! How long a step of the built-in model takes, and how fast it writes.
//!
//! `cargo run -p marque-models --example step`
#![expect(clippy::print_stdout, reason = "an example that prints")]

use std::time::Instant;

use marque_models::{Llama, Message, Model, ModelError, Request};
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), ModelError> {
    let started = Instant::now();
    let model = Llama::built_in()?;
    println!("load                  {:>8.1} ms", ms(started));

    let schema = json!({
        "type": "object",
        "properties": {
            "tool": { "enum": ["fetch_data", "send_payment", "finish"] },
            "args": { "type": "object" },
        },
        "required": ["tool", "args"],
        "additionalProperties": false,
    });
    let mut messages = vec![
        Message::system(
            "fetch_data(url) get data from a url\nsend_payment(to,amount) pay someone\n\
             finish(answer) done, report the answer",
        ),
        Message::user("Fetch https://feed.example/data/wind and report the value."),
    ];
    for number in 1..=2 {
        let request = Request::new(messages.clone()).json_schema(schema.clone()).session("step");
        let started = Instant::now();
        let reply = model.generate(request).await?;
        println!(
            "step {number}                {:>8.1} ms  {:?}  {}",
            ms(started),
            reply.usage,
            reply.text
        );
        messages.push(Message::assistant(reply.text));
        messages.push(Message::tool(r#"{"value":"14.2"}"#));
    }

    let free =
        |max_tokens| Request::new(vec![Message::user("7 ".repeat(300))]).max_tokens(max_tokens);
    let started = Instant::now();
    let short = model.generate(free(1)).await?;
    let prefill = ms(started);
    println!(
        "prefill               {:>8.0} tokens/s",
        f64::from(short.usage.prompt_tokens) / prefill * 1e3
    );
    let started = Instant::now();
    let long = model.generate(free(200)).await?;
    let decode = ms(started) - prefill;
    println!(
        "decode                {:>8.0} tokens/s",
        f64::from(long.usage.completion_tokens) / decode * 1e3
    );
    Ok(())
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
