//! Minds that go on: goals from a queue, and one goal again and again; stopped, started again, and
//! seen from outside.

use crate::support::{Citizen, MARQUE, Town, eventually};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

const GOAL: &str = "Fetch https://feed.example/wind.csv and report the value.";

/// An agent that can buy the wind, and its seller.
async fn sailor(town: &Town) -> (Citizen, Citizen) {
    let feed = town.seller("feed", "0.02 tUSD").await;
    let scout = town.buyer("scout", &[&feed], "").await;
    let place = format!("http://{}", feed.host);
    let names = [(marque::economy::FEED, place.as_str())];
    marque::economy::configure(&scout.party.home, "scout", &names).unwrap();
    (feed, scout)
}

fn marque(scout: &Citizen, args: &[&str]) -> Child {
    let mut command = Command::new(MARQUE);
    command.args(args).arg("--home").arg(scout.party.home.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Tells it to stop, as a supervisor does.
fn stop(mind: Child) -> Output {
    kill(Pid::from_raw(i32::try_from(mind.id()).unwrap()), Signal::SIGTERM).unwrap();
    mind.wait_with_output().unwrap()
}

fn folder(scout: &Citizen) -> PathBuf {
    scout.party.home.mind("scout")
}

/// Puts a goal into the queue as it is done.
fn queue(scout: &Citizen, name: &str, goal: &str) {
    let queue = folder(scout).join("queue");
    fs::create_dir_all(&queue).unwrap();
    fs::write(queue.join(format!(".{name}")), goal).unwrap();
    fs::rename(queue.join(format!(".{name}")), queue.join(format!("{name}.goal"))).unwrap();
}

fn answer(scout: &Citizen, name: &str) -> Option<Value> {
    let file = folder(scout).join("queue").join(format!("{name}.answer"));
    fs::read(file).ok().map(|bytes| serde_json::from_slice(&bytes).unwrap())
}

/// Payments that the steward has heard of.
async fn payments(scout: &Citizen) -> usize {
    let view = scout.client().view().await.unwrap();
    view.intents.iter().filter(|intent| intent.intent.spends().is_some()).count()
}

fn status(scout: &Citizen) -> String {
    let out = marque(scout, &["status"]).wait_with_output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn goals_from_the_queue_are_answered_once_each_over_stops_and_starts() {
    let town = Town::new().await;
    let (feed, scout) = sailor(&town).await;
    queue(&scout, "first", GOAL);
    queue(&scout, "empty", " \n");
    let place = |file: &str| folder(&scout).join("queue").join(file);
    fs::write(place("half"), "not a goal yet").unwrap();
    // What is no text is no goal.
    fs::write(place("bytes.goal"), b"\xff\xfe").unwrap();
    fs::File::create(place("long.goal")).unwrap().set_len(1 << 20).unwrap();
    fs::create_dir(place("folder.goal")).unwrap();
    let mind = marque(&scout, &["run", "scout", "--serve"]);
    eventually("answers", 60, || async {
        answer(&scout, "first").is_some() && answer(&scout, "empty").is_some()
    })
    .await;
    let first = answer(&scout, "first").unwrap();
    assert_eq!(first["goal"], GOAL);
    assert!(first["answer"].as_str().unwrap().starts_with("value is"), "{first}");
    assert_eq!(answer(&scout, "empty").unwrap()["error"], "the goal is empty");
    eventually("done", 60, || async { folder(&scout).join("queue/first.done").exists() }).await;
    let served = "serves its queue; 1 answered, 4 failed";
    eventually("its tally", 60, || async { status(&scout).contains(served) }).await;
    let told: Vec<String> = logged(&scout, "failed")
        .iter()
        .map(|event| event["why"].as_str().unwrap().to_owned())
        .collect();
    for (name, why) in [
        ("empty", "the goal is empty"),
        ("bytes", "the goal is no text"),
        ("long", "a goal is a file of at most 16384 bytes"),
        ("folder", "a goal is a file of at most 16384 bytes"),
    ] {
        assert!(told.contains(&format!("{name}: {why}")), "{told:?}");
        assert_eq!(answer(&scout, name).unwrap()["error"], why);
        assert!(
            place(&format!("{name}.done")).exists() && !place(&format!("{name}.goal")).exists()
        );
    }

    let out = stop(mind);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let said = String::from_utf8(out.stdout).unwrap();
    assert!(said.ends_with("what was under way goes on next time\n"), "{said}");
    assert!(!status(&scout).contains("serves its queue"));

    // Stopped in the middle of the next one, which goes on with the next start.
    queue(&scout, "second", GOAL);
    let mind = marque(&scout, &["run", "scout", "--serve"]);
    eventually("money under way", 60, || async { town.dollars(&feed).await == 40_000 }).await;
    stop(mind);
    let mind = marque(&scout, &["run", "scout", "--serve"]);
    eventually("the second answer", 60, || async { answer(&scout, "second").is_some() }).await;
    stop(mind);
    assert_eq!(town.dollars(&feed).await, 40_000, "each is paid once");
    assert_eq!(answer(&scout, "second").unwrap().get("again"), None);

    // The same goal under the same name is the same task, and says so.
    fs::remove_file(folder(&scout).join("queue/second.answer")).unwrap();
    queue(&scout, "second", GOAL);
    let mind = marque(&scout, &["run", "scout", "--serve"]);
    eventually("the old answer", 60, || async { answer(&scout, "second").is_some() }).await;
    stop(mind);
    assert_eq!(answer(&scout, "second").unwrap()["again"], true);
    assert_eq!(town.dollars(&feed).await, 40_000, "it was not fetched again");
    assert_eq!(fs::read_to_string(folder(&scout).join("queue/half")).unwrap(), "not a goal yet");
    let log = fs::read_to_string(folder(&scout).join("log/mind.log")).unwrap();
    let answers = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let answers = answers.filter(|line| line["event"]["event"] == "answer").count();
    assert!(answers >= 2, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_is_submitted_to_whoever_serves_the_queue_and_its_answer_waited_for() {
    let town = Town::new().await;
    let (feed, scout) = sailor(&town).await;
    let submit = |more: &[&str]| {
        let args = [&["run", "scout", GOAL, "--submit"], more].concat();
        let out = marque(&scout, &args).wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (out.status.code(), text(out.stdout), text(out.stderr))
    };
    let (code, _, why) = submit(&[]);
    assert!(code == Some(1) && why.contains("nobody serves the queue of scout"), "{why}");
    assert!(why.contains("marque run scout --serve"), "{why}");
    assert!(!folder(&scout).join("queue").exists(), "nothing waits for nobody");
    // Nor does another process that has the number of a mind that was killed.
    let left = format!(
        r#"{{"v":1,"process":{},"since":1,"goal":null,"under_way":null,"round":null,"answered":0,"failed":0}}"#,
        std::process::id()
    );
    fs::write(folder(&scout).join("work.json"), left).unwrap();
    let (code, _, why) = submit(&[]);
    assert!(code == Some(1) && why.contains("nobody serves the queue of scout"), "{why}");

    let mind = marque(&scout, &["run", "scout", "--serve"]);
    eventually("it serves", 60, || async { status(&scout).contains("serves its queue") }).await;
    let beside = marque(&scout, &["run", "scout", GOAL]).wait_with_output().unwrap();
    let why = String::from_utf8(beside.stderr).unwrap();
    assert!(why.contains("scout is at work already"), "{why}");
    assert!(why.contains("marque run scout GOAL --submit"), "{why}");
    let serve = || marque(&scout, &["run", "scout", "--serve"]).wait_with_output().unwrap();
    let why = String::from_utf8(serve().stderr).unwrap();
    assert!(why.contains("it serves its queue; put the goal there"), "{why}");
    // Who cannot be told what it does says so, and not that nobody serves.
    let record = folder(&scout).join("work.json");
    fs::rename(&record, record.with_extension("aside")).unwrap();
    std::os::unix::fs::symlink("nowhere", &record).unwrap();
    let (code, _, why) = submit(&[]);
    assert!(code == Some(1) && why.contains("whether somebody serves the queue cannot be seen"));
    assert!(why.contains("mind/work.json: "), "{why}");
    fs::remove_file(&record).unwrap();
    // Whatever is taken away from its folder, no second one gets in.
    let second = serve();
    let why = String::from_utf8(second.stderr).unwrap();
    assert!(second.status.code() == Some(1) && why.contains("scout is at work already"), "{why}");
    fs::rename(record.with_extension("aside"), &record).unwrap();
    let (code, said, why) = submit(&["--wait"]);
    assert!(code == Some(0) && said.contains("answers: value is"), "{said}{why}");
    let (code, name, _) = submit(&[]);
    let name = name.trim();
    assert!(code == Some(0) && name.starts_with("goal-"), "{name}");
    eventually("its answer", 60, || async { answer(&scout, name).is_some() }).await;
    eventually("two are paid", 60, || async { town.dollars(&feed).await == 40_000 }).await;

    let (code, _, why) = submit(&["--task", name]);
    assert!(code == Some(2) && why.contains("already; take another name"), "{why}");
    // Who waits again in the same words gets what came of it, and nothing is bought again.
    let (code, said, why) = submit(&["--task", name, "--wait"]);
    assert!(code == Some(0) && said.contains("answers: value is"), "{said}{why}");
    assert!(why.contains("is in the queue already"), "{why}");
    let closed = ["run", "scout", CLOSED, "--submit", "--wait", "--task", "closed", "--json"];
    let out = marque(&scout, &closed).wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    let said: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert!(said["error"].as_str().unwrap().contains("follows an error"), "{said}");
    let (code, _, why) = submit(&["--task", "closed", "--wait"]);
    assert!(code == Some(2) && why.contains("already; take another name"), "{why}");
    assert_eq!(town.dollars(&feed).await, 40_000);
    stop(mind);

    let mind = marque(&scout, &["run", "scout", GOAL, "--every", "1h"]);
    eventually("a round", 60, || async { status(&scout).contains("every") }).await;
    let (code, _, why) = submit(&[]);
    assert!(code == Some(1) && why.contains("and not on its queue"), "{why}");
    for args in [&["run", "scout", GOAL][..], &["run", "scout", "--serve"]] {
        let out = marque(&scout, args).wait_with_output().unwrap();
        let why = String::from_utf8(out.stderr).unwrap();
        assert!(why.contains("again and again, until it is stopped"), "{why}");
        assert!(!why.contains("is done"), "{why}");
    }
    stop(mind);
}

#[tokio::test(flavor = "multi_thread")]
async fn goals_in_a_strangers_words_meet_the_rules_for_them() {
    let town = Town::new().await;
    let feed = town.seller("feed", "0.02 tUSD").await;
    let rule = "\n[labels]\nweb = \"refuse\"\n";
    let scout = town.buyer("scout", &[&feed], rule).await;
    let place = format!("http://{}", feed.host);
    marque::economy::configure(&scout.party.home, "scout", &[(marque::economy::FEED, &place)])
        .unwrap();
    queue(&scout, "form", GOAL);
    let serve = ["run", "scout", "--serve", "--label", "web:form.example"];
    let mind = marque(&scout, &serve);
    eventually("its end", 60, || async { answer(&scout, "form").is_some() }).await;
    stop(mind);
    let form = answer(&scout, "form").unwrap();
    assert!(form["error"].as_str().unwrap().contains("labels"), "{form}");
    assert_eq!(town.dollars(&feed).await, 0);
    let out = marque(&scout, &["run", "scout", "--serve", "--label", "a form"]);
    let out = out.wait_with_output().unwrap();
    let why = String::from_utf8(out.stderr).unwrap();
    let rule = "\"a form\" is no label; write where the words come from: web:HOST, peer:NAME, memory or model";
    assert!(out.status.code() == Some(2) && why.contains(rule), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_whose_answer_has_no_place_is_passed_over() {
    let town = Town::new().await;
    let (_feed, scout) = sailor(&town).await;
    queue(&scout, "blocked", GOAL);
    fs::create_dir(folder(&scout).join("queue/blocked.answer")).unwrap();
    queue(&scout, "linked", " \n");
    std::os::unix::fs::symlink("../work.json", folder(&scout).join("queue/link.goal")).unwrap();
    std::os::unix::fs::symlink("../work.json", folder(&scout).join("queue/.linked.answer.new"))
        .unwrap();
    let mind = marque(&scout, &["run", "scout", "--serve"]);
    eventually("the other answer", 60, || async { answer(&scout, "linked").is_some() }).await;
    let link = folder(&scout).join("queue/link.goal");
    eventually("a link is no goal, and goes", 60, || async { !link.is_symlink() }).await;
    assert_eq!(answer(&scout, "link").unwrap()["task"], "queue-link");
    let out = stop(mind);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let said = String::from_utf8(out.stdout).unwrap();
    assert!(said.contains("blocked.answer is a folder"), "{said}");
    assert!(folder(&scout).join("queue/blocked.goal").exists(), "it is not lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_is_pursued_again_and_again_and_no_sooner_after_a_new_start() {
    let town = Town::new().await;
    let (feed, scout) = sailor(&town).await;
    let mind = marque(&scout, &["run", "scout", GOAL, "--every", "1s"]);
    eventually("two rounds", 60, || async { town.dollars(&feed).await >= 40_000 }).await;
    let seen = status(&scout);
    assert!(seen.contains(&format!("every 1 s: {GOAL}")), "{seen}");
    let out = stop(mind);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let said = String::from_utf8(out.stdout).unwrap();
    assert!(said.contains("answers: value is"), "{said}");

    // What was signed is settled by and by; what is proposed is what counts.
    let paid = payments(&scout).await;
    let mind = marque(&scout, &["run", "scout", GOAL, "--every", "1h"]);
    eventually("a mind at work", 60, || async { status(&scout).contains("every") }).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let out = stop(mind);
    let said = String::from_utf8(out.stdout).unwrap();
    assert!(said.contains("the next round is in 3"), "{said}");
    assert_eq!(payments(&scout).await, paid, "the hour is not over");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_is_wrong_usage() {
    let town = Town::new().await;
    let (_, scout) = sailor(&town).await;
    for args in [
        &["run", "scout"][..],
        &["run", "scout", GOAL, "--every", "soon"],
        &["run", "scout", GOAL, "--serve"],
        &["run", "scout", GOAL, "--every", "1h", "--task", "t"],
        &["run", "scout", GOAL, "--wait"],
        &["run", "scout", "--submit"],
        &["run", "scout", GOAL, "--submit", "--every", "1h"],
        &["run", "scout", "--serve", "--submit"],
        &["run", "scout", "--serve", "--label", "owner"],
        &["run", "scout", GOAL, "--label", "chain"],
        &["run", "scout", GOAL, "--task", "reports/2026.11"],
        &["run", "scout", GOAL, "--task", "reports/2026.11", "--submit"],
    ] {
        let out = marque(&scout, args).wait_with_output().unwrap();
        assert_eq!(out.status.code(), Some(2), "{args:?}");
        // One rule for names, whoever works on the goal.
        let rule = "\"reports/2026.11\" is no name for a task; it has up to 64 letters, digits, \"-\", \
                    \"_\" and \".\", the first of them no dot";
        let why = String::from_utf8(out.stderr).unwrap();
        assert_eq!(why.contains(rule), args.contains(&"reports/2026.11"), "{why}");
    }
}

/// A goal whose host the policy does not open.
const CLOSED: &str = "Fetch https://evil.example/wind.csv and report the value.";

/// What a mind's log says of events of a kind.
fn logged(scout: &Citizen, kind: &str) -> Vec<Value> {
    let log = fs::read_to_string(folder(scout).join("log/mind.log")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| line["event"].clone()).filter(|event| event["event"] == kind).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_after_an_error_is_an_error_in_the_queue_and_in_a_round() {
    let town = Town::new().await;
    let (_, scout) = sailor(&town).await;
    queue(&scout, "closed", CLOSED);
    queue(&scout, "unheard-of", "Compose a symphony in the style of Mahler.");
    let mind = marque(&scout, &["run", "scout", "--serve"]);
    eventually("ends", 60, || async {
        answer(&scout, "closed").is_some() && answer(&scout, "unheard-of").is_some()
    })
    .await;
    let closed = answer(&scout, "closed").unwrap();
    let why = closed["error"].as_str().unwrap();
    assert!(why.starts_with("the answer follows an error and is not to be relied on: "), "{why}");
    assert_eq!(closed.get("answer"), None, "{closed}");
    let lost = answer(&scout, "unheard-of").unwrap();
    assert!(lost["error"].as_str().unwrap().contains("no tool for the goal"), "{lost}");
    eventually("both", 60, || async { status(&scout).contains("; 0 answered, 2 failed") }).await;
    let said = String::from_utf8(stop(mind).stdout).unwrap();
    assert!(said.contains("answers after an error"), "{said}");
    assert!(said.contains("stopped; 0 answered, 2 failed; "), "{said}");

    let mind = marque(&scout, &["run", "scout", CLOSED, "--every", "1h"]);
    // It counts while the next is an hour away.
    eventually("a round", 60, || async { status(&scout).contains("; 0 answered, 1 failed") }).await;
    stop(mind);
    let answers = logged(&scout, "answer");
    assert!(!answers.is_empty() && answers.iter().all(|one| one["after_error"].is_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_the_owner_is_neither_answered_nor_failed_and_is_told_once() {
    let town = Town::new().await;
    let (_feed, scout) = town.careful().await;
    scout.waits_a_second();

    let mind = marque(&scout, &["run", "scout", GOAL, "--every", "1s"]);
    eventually("a wait", 60, || async { status(&scout).contains("0 failed, 1 waiting") }).await;
    // Some more rounds, which come no further.
    let round = || {
        let work = fs::read(folder(&scout).join("work.json")).unwrap();
        serde_json::from_slice::<Value>(&work).unwrap()["round"][0].as_u64().unwrap()
    };
    let first = round();
    eventually("rounds", 60, || async { round() >= first + 4 }).await;
    let seen = status(&scout);
    assert!(seen.contains("; 0 answered, 0 failed, 1 waiting"), "{seen}");
    let said = String::from_utf8(stop(mind).stdout).unwrap();
    assert_eq!(said.matches("marque approve").count(), 1, "{said}");
    assert_eq!(said.matches("is held for the owner").count(), 1, "{said}");
    let next = "it is tried again by itself once it is approved";
    assert!(said.contains(next) && !said.contains("run the task again"), "{said}");
    let told = ["call", "held", "failed"].map(|kind| logged(&scout, kind).len());
    assert_eq!(told, [1, 1, 1], "{said}");

    // In the queue as well.
    queue(&scout, "wind", GOAL);
    let mind = marque(&scout, &["run", "scout", "--serve"]);
    let held = folder(&scout).join("queue/wind.held");
    eventually("it is held", 60, || async { held.exists() }).await;
    stop(mind);
    let why = fs::read_to_string(held).unwrap();
    assert!(why.contains(next) && !why.contains("run the task again"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mind_whose_steward_is_gone_says_what_it_waits_for() {
    let town = Town::new().await;
    let (_feed, mut scout) = sailor(&town).await;
    let mind = marque(&scout, &["run", "scout", "--serve"]);
    eventually("it serves", 60, || async { status(&scout).contains("serves its queue") }).await;
    assert!(!status(&scout).contains("waits for a steward"));
    scout.stop().await;
    let out = marque(&scout, &["status"]).wait_with_output().unwrap();
    let seen = String::from_utf8(out.stdout).unwrap();
    assert_eq!(out.status.code(), Some(1), "{seen}");
    let wants = "0 answered, 0 failed; it waits for a steward: marque steward run";
    assert!(seen.contains(wants), "{seen}");

    queue(&scout, "wind", GOAL);
    let later = folder(&scout).join("queue/wind.later");
    eventually("it waits", 90, || async { later.exists() }).await;
    let why = fs::read_to_string(&later).unwrap();
    assert!(why.contains("marque steward run"), "{why}");
    stop(mind);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_whose_task_went_is_said_to_be_used_where_another_goal_takes_it() {
    let town = Town::new().await;
    let (feed, scout) = sailor(&town).await;
    let file = scout.party.home.agent("scout").join("agent.toml");
    let settings = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{settings}\n[options]\nkeep = 1\n")).unwrap();
    let run = |goal: &str, task: &str| {
        let out = marque(&scout, &["run", "scout", goal, "--task", task]).wait_with_output();
        let out = out.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (out.status.code(), text(out.stdout), text(out.stderr))
    };
    // The first begins anew once the second has taken its place: what it bought is told again, and is
    // not bought again.
    for task in ["wind", "later", "wind", "later"] {
        let (code, said, why) = run(GOAL, task);
        assert_eq!(code, Some(0), "{why}");
        assert!(said.contains("paid 0.02 tUSD"), "{said}");
    }
    // What it did stands with the steward, whoever has forgotten the goal.
    let rain = GOAL.replace("wind", "rain");
    for _ in 0..2 {
        let (code, _, why) = run(&rain, "wind");
        assert_eq!(code, Some(1), "{why}");
        assert!(why.contains("task \"wind\" failed: its name was used before"), "{why}");
        assert!(why.contains("take another name") && !why.contains("id_reused"), "{why}");
    }
    eventually("two are paid", 60, || async { town.dollars(&feed).await == 40_000 }).await;
}
