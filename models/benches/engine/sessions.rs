//! Many conversations at once, one that is taken up again, and one that is given up.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use marque_models::{Cancel, Llama, LlamaOptions, Message, Model, Request};

use crate::clocks::{cpu, median, peak};
use crate::raw::Raw;
use crate::{CONTEXT, REPLY, ROUNDS, block_on, figures, load, part, rounds, row, words};

/// Tokens of the system's words that all conversations share.
const SHARED: usize = 576;

/// So many conversations in one engine, beside as many contexts. Memory is the most that there was
/// at any time.
pub(crate) fn conversations(path: &Path) {
    let path = path.to_str().unwrap();
    // Weights are laid out anew for the processor, in memory of the process; every way needs that.
    let (_, weights) = figures(&part(&["weights", path]));
    for count in [1, 4, 8, 16, 64] {
        let (mut ours, mut theirs) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
        for _ in 0..rounds(3) {
            for (way, into) in [("engine", &mut ours), ("apart", &mut theirs)] {
                let (rate, memory) = figures(&part(&[way, path, &count.to_string()]));
                into.0.push(rate);
                into.1.push(memory - weights);
            }
        }
        let (rate, memory) = (median(ours.0), median(ours.1));
        let (their_rate, their_memory) = (median(theirs.0), median(theirs.1));
        row(
            &format!("{count} conversations, {SHARED} tokens in common"),
            &format!("{rate:.0} tokens/s"),
            &format!(
                "{memory:.0} MiB; {their_rate:.0} and {their_memory:.0} MiB in contexts apart: \
                 ratios {:.2}, {:.2}",
                rate / their_rate,
                memory / their_memory
            ),
        );
    }
}

pub(crate) fn together(path: &Path, count: usize) {
    let pool = SHARED + count * (REPLY as usize + 60);
    let options = LlamaOptions {
        threads: Some(1),
        context: Some(CONTEXT),
        kv_tokens: Some(CONTEXT.max(pool as u32)),
        ..LlamaOptions::default()
    };
    let ((written, took), most) = peak(|| {
        let model = Arc::new(Llama::load(path, options).unwrap());
        let started = cpu();
        (block_on(ask_all(&model, count)), cpu() - started)
    });
    println!("{} {most}", f64::from(written) / took);
}

/// Asks in so many conversations at once, and returns the tokens that were written.
async fn ask_all(model: &Arc<Llama>, count: usize) -> u32 {
    let tasks: Vec<_> = (0..count)
        .map(|name| {
            let model = Arc::clone(model);
            let messages =
                vec![Message::system(words(SHARED)), Message::user(format!("I am {name}"))];
            let request = Request::new(messages).session(name.to_string()).max_tokens(REPLY);
            tokio::spawn(async move { model.generate(request).await.unwrap() })
        })
        .collect();
    let mut written = 0;
    for task in tasks {
        written += task.await.unwrap().usage.completion_tokens;
    }
    written
}

/// Each conversation in a context of its own, one token each in turn.
pub(crate) fn apart(path: &Path, count: usize) {
    let (took, most) = peak(|| {
        let raw = Raw::load(path);
        let started = cpu();
        let mut contexts: Vec<_> = (0..count).map(|_| raw.context(CONTEXT)).collect();
        let prompt = SHARED + 24;
        let mut next: Vec<i32> =
            contexts.iter_mut().map(|context| context.evaluate(&vec![100; prompt])).collect();
        for _ in 1..REPLY {
            for (context, token) in contexts.iter_mut().zip(&mut next) {
                *token = context.evaluate(&[*token]);
            }
        }
        cpu() - started
    });
    println!("{} {most}", (count * REPLY as usize) as f64 / took);
}

pub(crate) fn resume(path: &Path, folder: &Path) {
    let model = load(path);
    let ask = || Request::new(vec![Message::user(words(900))]).session("a").max_tokens(2);
    let (mut parked_times, mut computed) = (Vec::new(), Vec::new());
    let mut tokens = 0;
    for _ in 0..ROUNDS {
        let sequence = model.sequence("a");
        sequence.forget();
        let start = cpu();
        block_on(model.generate(ask())).unwrap();
        computed.push(cpu() - start);
        let parked = block_on(sequence.park(folder)).unwrap();
        let start = cpu();
        tokens = block_on(sequence.resume(&parked)).unwrap();
        block_on(model.generate(ask())).unwrap();
        parked_times.push(cpu() - start);
        parked.discard().unwrap();
    }
    let (parked, computed) = (median(parked_times) * 1e3, median(computed) * 1e3);
    row(
        &format!("first tokens after a resume of {tokens} tokens"),
        &format!("{parked:.0} ms"),
        &format!("{computed:.0} ms when computed anew: ratio {:.2}", parked / computed),
    );
}

/// How long the engine goes on with what nobody wants any more: until the batch in progress is done.
pub(crate) fn cancellation(path: &Path) {
    let model = Arc::new(load(path));
    // A long prompt that is being read, and a reply that is being written.
    for (what, prompt, batches) in
        [("a prompt of 900 tokens is read", 900, 1), ("a reply is written", 10, 3)]
    {
        let mut times = Vec::new();
        for round in 0..u64::try_from(rounds(15)).unwrap() {
            let before = model.stats();
            let cancel = Cancel::new();
            let request = Request::new(vec![Message::user(words(prompt))])
                .max_tokens(REPLY)
                .cancel(cancel.clone());
            let asked = {
                let model = Arc::clone(&model);
                std::thread::spawn(move || block_on(model.generate(request)).is_err())
            };
            wait(|| model.stats().batches >= before.batches + batches);
            // At some time within a batch.
            std::thread::sleep(Duration::from_millis(round * 7 % 40));
            let start = cpu();
            cancel.cancel();
            wait(|| {
                let stats = model.stats();
                stats.cancelled + stats.replied > before.cancelled + before.replied
            });
            let took = cpu() - start;
            if asked.join().unwrap() {
                times.push(took * 1e3);
            }
        }
        let longest = times.iter().copied().fold(0.0, f64::max);
        row(
            &format!("cancelled while {what}: until it stops"),
            &format!("{:.0} ms", median(times)),
            &format!(
                "the longest {longest:.0}; one batch at the most: 250 ms of a prompt, and a token of \
                 each reply"
            ),
        );
    }
}

fn wait(until: impl Fn() -> bool) {
    while !until() {
        std::thread::sleep(Duration::from_millis(1));
    }
}
