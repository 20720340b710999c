//! Transfers: to payees of the policy alone, held for the owner, made once.

use crate::{
    desk::{Desk, Say},
    scout,
};
use alloy_primitives::{Address, B256, U256};
use marque_agent_core::{AgentError, Cx, Event, TaskLimits, ToolError};
use marque_macros::tool;
use marque_policies::{AssetId, Intent, Label, Money};
use marque_steward_client::{AssetView, Budget, PayeeView, PaymentState, Proposal};
use std::{sync::Arc, time::Duration};

/// Pays somebody.
#[tool(crate = marque_agent_core)]
async fn send(cx: &Cx, to: String, amount: String) -> Result<String, ToolError> {
    let amount = cx.amount(&amount).await?;
    let most = cx.amount("1 USD").await?;
    let sent = cx.max_price(most).pay(&to, amount).await?;
    Ok(format!("{:?}", sent.state))
}

const FINISH: &str = r#"{"tool":"finish","args":{"answer":"done"}}"#;

fn call(to: &str, amount: &str) -> String {
    format!(r#"{{"tool":"send","args":{{"to":"{to}","amount":"{amount}"}}}}"#)
}

fn desk() -> Arc<Desk> {
    let desk = Desk::permitting(&["send"], &[]);
    desk.change(|view| {
        let id = AssetId { chain: 31337, token: Address::repeat_byte(7) };
        view.assets = vec![AssetView { name: "USD".to_owned(), id, decimals: 6, domain: None }];
        let payee = |name: &str, address| PayeeView { name: name.to_owned(), address, host: None };
        view.payees = vec![payee("ana", Some(Address::repeat_byte(5))), payee("new", None)];
        let money = |units: u64| Money::new(U256::from(units), id);
        view.budgets = vec![Budget {
            rule: "limits.USD.day".to_owned(),
            spent: money(1_200_000),
            in_flight: None,
            limit: money(2_000_000),
            next: None,
        }];
    });
    Arc::new(desk)
}

#[tokio::test]
async fn a_transfer_goes_to_the_address_of_the_policy_and_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let desk = desk();
    desk.states([PaymentState::Sent, PaymentState::Seen]);
    let script = [call("ana", "0.50 USD"), FINISH.to_owned()];
    let script: Vec<&str> = script.iter().map(String::as_str).collect();
    let agent = scout(&desk, dir.path(), &script).build().await.unwrap().tool(send);
    let mut events = agent.events();
    let _: String = agent.run_as("t", "pay ana").await.unwrap();
    let task = agent.task("t").await.unwrap().unwrap();
    assert_eq!(task.steps()[0].result["value"], "Seen");
    assert_eq!(agent.cost("t").await.unwrap().to_string(), "0.50 USD");
    assert_eq!(agent.cost("another").await.unwrap().to_string(), "nothing");
    let proposals = desk.proposals.lock().unwrap();
    let Intent::Transfer(transfer) = &proposals[1].intent else { panic!("{proposals:?}") };
    let asset = AssetId { chain: 31337, token: Address::repeat_byte(7) };
    assert_eq!(transfer.to, Address::repeat_byte(5));
    assert_eq!(transfer.amount, Money::new(U256::from(500_000), asset));
    assert!(transfer.labels.0.contains(&Label::Model), "{transfer:?}");
    let paid = std::iter::from_fn(|| events.try_recv().ok()).find_map(|event| match event {
        Event::Paid { transaction, .. } => transaction,
        _ => None,
    });
    assert_eq!(paid, Some(B256::repeat_byte(9)));
}

#[tokio::test]
async fn a_stranger_an_unpinned_payee_and_too_much_are_no_intents() {
    let dir = tempfile::tempdir().unwrap();
    let desk = desk();
    let script = [
        call("mallory", "0.50 USD"),
        call("new", "0.50 USD"),
        call("ana", "1.01 USD"),
        call("ana", "5 EUR"),
        call("ana", "0.81 USD"),
        FINISH.to_owned(),
    ];
    let script: Vec<&str> = script.iter().map(String::as_str).collect();
    let agent = scout(&desk, dir.path(), &script).build().await.unwrap().tool(send);
    let _: String = agent.run_as("t", "pay").await.unwrap();
    let task = agent.task("t").await.unwrap().unwrap();
    let told: Vec<String> = task.steps().iter().map(|step| step.result.to_string()).collect();
    let reasons = [
        "names ana, new",
        "buy there first",
        "the most",
        "no asset EUR",
        "0.81 USD is more than the limits leave: 0.80 USD",
    ];
    assert_eq!(told.len(), reasons.len());
    for (told, why) in told.iter().zip(reasons) {
        assert!(told.contains(why), "{told}");
    }
    let proposals = desk.proposals.lock().unwrap();
    assert!(proposals.iter().all(|it| matches!(it.intent, Intent::Tool(_))), "{proposals:?}");
}

#[tokio::test]
async fn a_held_transfer_is_the_same_intent_when_the_task_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let desk = desk();
    desk.says("transfer", [Say::Hold]);
    let pay = call("ana", "0.50 USD");
    let agent = scout(&desk, dir.path(), &[&pay, FINISH]).build().await.unwrap().tool(send);
    let error = agent.run_as::<String>("t", "pay ana").await.unwrap_err();
    assert!(matches!(error, AgentError::Held { .. }), "{error}");
    // What is held is reserved by now, so that the limits leave less than it asks for.
    desk.change(|view| view.budgets[0].spent.units = U256::from(1_700_000));
    desk.states([PaymentState::Held, PaymentState::Seen]);
    let _: String = agent.run_as("t", "pay ana").await.unwrap();
    let proposals = desk.proposals.lock().unwrap();
    let transfers: Vec<_> =
        proposals.iter().filter(|it| matches!(it.intent, Intent::Transfer(_))).collect();
    assert_eq!(transfers.len(), 2);
    assert_eq!(transfers[0], transfers[1]);
}

#[tokio::test]
async fn a_transfer_counts_in_what_the_task_may_spend() {
    let dir = tempfile::tempdir().unwrap();
    let desk = desk();
    desk.states([PaymentState::Seen]);
    let script = [call("ana", "0.30 USD"), call("ana", "0.31 USD"), FINISH.to_owned()];
    let script: Vec<&str> = script.iter().map(String::as_str).collect();
    let limits = TaskLimits::default().spend("0.60 USD");
    let agent = scout(&desk, dir.path(), &script).limits(limits).build().await.unwrap().tool(send);
    let _: String = agent.run_as("t", "pay ana").await.unwrap();
    let task = agent.task("t").await.unwrap().unwrap();
    assert_eq!(task.steps()[0].result["value"], "Seen");
    let told = task.steps()[1].result.to_string();
    assert!(told.contains("may spend 0.60 USD in all"), "{told}");
    assert_eq!(transfers(&desk).len(), 1, "what there is no room for is not proposed");
}

/// Whoever lowers what may be spent means the tasks that have begun as well.
#[tokio::test]
async fn a_lower_limit_holds_for_a_task_that_is_taken_up_again() {
    let dir = tempfile::tempdir().unwrap();
    let desk = desk();
    desk.says("send", [Say::Hold]);
    let pay = call("ana", "0.30 USD");
    let limits = TaskLimits { steps: 7, ..TaskLimits::default() }.spend("0.60 USD");
    let first = scout(&desk, dir.path(), &[&pay]).limits(limits).build().await.unwrap().tool(send);
    assert!(first.run_as::<String>("t", "pay ana").await.is_err());
    drop(first);
    let limits = TaskLimits { steps: 5, ..TaskLimits::default() }.spend("0.20 USD");
    let agent = scout(&desk, dir.path(), &[&pay, FINISH]).limits(limits).build().await.unwrap();
    let agent = agent.tool(send);
    let _: String = agent.run_as("t", "pay ana").await.unwrap();
    let task = agent.task("t").await.unwrap().unwrap();
    let told = task.steps()[0].result.to_string();
    assert!(told.contains("may spend 0.20 USD in all"), "{told}");
    assert_eq!((transfers(&desk).len(), task.limits().steps), (0, 5));
}

/// A transfer that takes longer than its call may is not told as one that came to nothing: the run
/// ends, and the same call finds the same transfer.
#[tokio::test]
async fn a_transfer_that_outlives_its_call_is_never_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let desk = desk();
    desk.states(std::iter::repeat_n(PaymentState::Sent, 10_000));
    let pay = call("ana", "0.50 USD");
    let limits = TaskLimits { timeout: Duration::from_secs(2), ..TaskLimits::default() };
    let first = scout(&desk, dir.path(), &[&pay]).limits(limits).build().await.unwrap().tool(send);
    let error = first.run_as::<String>("t", "pay ana").await.unwrap_err();
    assert!(matches!(error, AgentError::Slow { .. }), "{error}");
    drop(first);
    desk.arrives();
    let again = scout(&desk, dir.path(), &[&pay, FINISH]).build().await.unwrap().tool(send);
    let _: String = again.run_as("t", "pay ana").await.unwrap();
    let transfers = transfers(&desk);
    assert!(transfers.iter().all(|it| *it == transfers[0]), "{transfers:?}");
}

fn transfers(desk: &Desk) -> Vec<Proposal> {
    let proposals = desk.proposals.lock().unwrap();
    proposals.iter().filter(|it| matches!(it.intent, Intent::Transfer(_))).cloned().collect()
}
