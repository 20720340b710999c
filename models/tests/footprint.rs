//! Memory, measured in a process of its own.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use marque_models::gguf::Header;
use marque_models::synthetic::{Format, Synthetic};
use marque_models::{Footprint, Llama, LlamaOptions, Message, Model, ModelError, Request, memory};

/// Bytes of memory that this process has now.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn a_loaded_model_takes_what_its_header_foretells() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let model = Synthetic {
        width: 512,
        layers: 8,
        heads: 8,
        kv_heads: 4,
        feed_forward: 1_536,
        vocabulary: 32_768,
        ..Synthetic::small(Format::Q8_0)
    };
    model.write(&path).unwrap();
    let cells = 16_384;
    let options = LlamaOptions {
        sequences: Some(4),
        kv_tokens: Some(cells),
        threads: Some(1),
        ..LlamaOptions::default()
    };
    let before = resident();
    let llama = Llama::load(&path, options).unwrap();
    let words = "abc ".repeat(400);
    llama.generate(Request::new(vec![Message::user(words)]).max_tokens(4)).await.unwrap();
    let taken = resident() - before;
    let foretold = Footprint::of(&Header::read(&path).unwrap()).with(cells.into());
    let ratio = foretold as f64 / taken as f64;
    println!("foretold {} MiB, taken {} MiB: {ratio:.2}", foretold >> 20, taken >> 20);
    assert!((0.8..1.5).contains(&ratio), "foretold {foretold}, taken {taken}");
}

#[test]
fn a_model_that_is_larger_than_this_machine_is_refused_with_the_figures() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let model = Synthetic { context: 1 << 30, ..Synthetic::small(Format::Q8_0) };
    model.write(&path).unwrap();
    let options = LlamaOptions { context: Some(1 << 30), ..LlamaOptions::default() };
    let error = Llama::load(&path, options).unwrap_err();
    let has = memory().unwrap();
    assert!(
        matches!(error, ModelError::Memory { needs, has: told, .. } if needs > has && told == has)
    );
    let text = error.to_string();
    assert!(text.contains("with 1073741824 tokens of context, and this machine has "), "{text}");
    assert_eq!(text.lines().count(), 1);
}
