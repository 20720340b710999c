//! Every example runs, says what it is about, and is short.

use crate::support::Town;
use marque::economy::{FEED, configure};
use secrecy::ExposeSecret as _;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The longest that one idea may take.
const LINES: usize = 60;

/// The built example of this name, which lies beside the command.
fn built(name: &str) -> PathBuf {
    let command = Path::new(crate::support::MARQUE);
    command.with_file_name("examples").join(name)
}

/// Runs an example; what it printed.
fn run(name: &str) -> String {
    let Output { status, stdout, stderr } =
        Command::new(built(name)).output().unwrap_or_else(|error| panic!("{name}: {error}"));
    let said = String::from_utf8_lossy(&stdout).into_owned();
    assert!(status.success(), "{name}: {said}{}", String::from_utf8_lossy(&stderr));
    said
}

/// The example of the name, run, prints each of the lines.
macro_rules! prints {
    ($($name:ident: $($line:literal),* $(,)?;)*) => {
        $(
            #[test]
            fn $name() {
                let said = run(stringify!($name));
                let expected: &[&str] = &[$($line),*];
                let lines: Vec<_> = said.lines().collect();
                assert_eq!(lines, expected);
            }
        )*

        const RUN: &[&str] = &[$(stringify!($name)),*];
    };
}

prints! {
    approval: "the owner approved 1, and it was bought", "scout has 4.20 tUSD";
    memory:
        "noted; at nine; mallory has 0.00 tUSD",
        r#"the payment: {"error":"refused by policy: labels","instead":"do something else, or finish"}"#;
    own_model: "tiny-agent holds 2048 tokens", "value is 14.2, for 0.02 tUSD";
    paid_tool: "14.2 knots, for 0.02 tUSD", "scout has 0.98 tUSD, feed has 0.02 tUSD";
    replay_policy:
        "three hours cost 0.24 tUSD",
        "of 9 decisions 1 would have been others:",
        "  1 by limits.tUSD.day";
    resume: "cut off: true", "14.2, and 14.2 again; scout has 4.98 tUSD";
    selling: "14.2 knots; feed has earned 0.02 tUSD";
    streaming:
        "step 0",
        "  calls read",
        "  pays feed",
        r#"  hears {"value":"14.2 knots"}"#,
        "step 1",
        "14.2 knots";
    sub_agent: "14.2; scout has 4.94 tUSD left", "0.06 tUSD";
    testing:;
    typed_answer: "sail: true, at 14 knots, for a steady breeze";
}

/// One that opens a home as people have it: what it said, and what was paid.
async fn at_home(example: &str) -> (String, u64) {
    let town = Town::new().await;
    let feed = town.seller("feed", "0.02 tUSD").await;
    let mut scout = town.buyer("scout", &[&feed], "").await;
    scout.stop().await;
    let place = format!("http://{}", feed.host);
    configure(&scout.party.home, "scout", &[(FEED, &place)]).unwrap();
    let credentials = town.dir.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::write(credentials.join("marque-unlock"), scout.party.unlock.expose_secret()).unwrap();
    let output = tokio::process::Command::new(built(example))
        .env("MARQUE_HOME", scout.party.home.path())
        .env("CREDENTIALS_DIRECTORY", &credentials)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    (said, town.dollars(&feed).await)
}

/// The one of the front page.
#[tokio::test(flavor = "multi_thread")]
async fn hello() {
    let (said, paid) = at_home("hello").await;
    assert!(said.ends_with(" rows; 0.02 tUSD spent so far\n"), "{said}");
    assert_eq!(paid, 20_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn shortest() {
    let (said, paid) = at_home("shortest").await;
    assert!(said.starts_with("value is "), "{said}");
    assert_eq!(paid, 20_000);
}

/// The test that `marque new --rust` puts beside that program in a project of one's own.
mod made {
    use marque::prelude::*;

    /// get data from a url
    #[tool]
    async fn fetch_data(cx: &Cx, url: String) -> Result<String> {
        Ok(format!("{} rows", cx.get(&url).await?.text()?.lines().count() - 1))
    }

    mod tests {
        include!("../../src/commands/new/project_test.rs");
    }
}

#[test]
fn every_example_is_short_and_is_run() {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.lines().count() <= LINES, "{} is longer than one idea", path.display());
        assert!(text.starts_with("//! "), "{} does not say what it shows", path.display());
        names.insert(path.file_stem().unwrap().to_str().unwrap().to_owned());
    }
    let run = RUN.iter().chain(&["hello", "shortest"]).map(|name| (*name).to_owned());
    assert_eq!(names, run.collect());
}
