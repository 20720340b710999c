//! Who is paid, by the ledger: payees that an owner pins by approving them, peers out of a pool, and
//! how long approvals and questions last.

#![cfg(test)]

mod support;

use alloy_primitives::{Address, U256};
use marque_policies::{
    Intent, IntentId, Ledger as _, Scope, Sources, Statement, intent::Authorise, parse,
};
use marque_steward::{Body, State, state::Ledger};
use marque_steward_client::PaymentState;
use std::collections::BTreeMap;
use support::{
    Bench, ORIGIN, adopt, allowed, held, owner, pay, policy, proposal, refused, signed, usdc,
};

const NEWCOMER: Address = Address::repeat_byte(0xc1);
const IMPOSTOR: Address = Address::repeat_byte(0xc2);
const HOST: &str = "new.example";
const HOUR: u64 = 3_600_000;

fn pay_to(name: &str, to: Address, host: &str, units: u64) -> Intent {
    Intent::Authorise(Authorise {
        payee: name.into(),
        to,
        amount: usdc(units),
        host: host.into(),
        resource: format!("https://{host}/data"),
        labels: Default::default(),
    })
}

/// The tests' policy and more; what stands before its tables goes to the front.
fn with(version: u64, more: &str) -> String {
    format!("{}{more}", policy(version))
}

fn put_in_force(bench: &mut Bench, text: &str) {
    bench.hand_in(adopt(&owner(), "scout", text, ORIGIN)).unwrap();
}

/// A payee who is known by host only, under this name.
fn by_host(name: &str) -> String {
    format!("[[payee]]\nname = \"{name}\"\nhost = \"{HOST}\"\n")
}

fn pinned(bench: &Bench) -> Vec<(String, Address)> {
    let pinned = bench.state.agent("scout").unwrap().pinned.clone();
    pinned.into_iter().collect()
}

/// The same entries give the same state.
fn replays(bench: &Bench) {
    assert_eq!(State::fold(&bench.entries).unwrap().hash(), bench.state.hash());
}

#[test]
fn the_owner_pins_a_payee_known_by_host_with_the_first_approval_and_for_good() {
    let mut bench = Bench::new();
    put_in_force(&mut bench, &with(2, &by_host("newcomer")));
    let first = pay_to("newcomer", NEWCOMER, HOST, 100_000);
    let id = held(bench.propose(proposal("first", 0, first.clone())));
    assert!(pinned(&bench).is_empty(), "a question pins nobody");
    bench.approve(id, &first, 2).unwrap();
    assert!(pinned(&bench).is_empty(), "an approval is not yet a payment");
    allowed(bench.propose(proposal("first", 0, first.clone())));
    assert_eq!(pinned(&bench), [(HOST.to_owned(), NEWCOMER)]);

    allowed(bench.propose(proposal("second", 0, first)));
    let other = pay_to("newcomer", IMPOSTOR, HOST, 100_000);
    assert_eq!(refused(bench.propose(proposal("other", 0, other))), ["payee.newcomer.address"]);
    // Another policy may call the host by another name; its address stays.
    put_in_force(&mut bench, &with(3, &by_host("renamed")));
    let other = pay_to("renamed", IMPOSTOR, HOST, 100_000);
    assert_eq!(refused(bench.propose(proposal("again", 0, other))), ["payee.renamed.address"]);
    allowed(bench.propose(proposal("third", 0, pay_to("renamed", NEWCOMER, HOST, 1))));
    assert_eq!(pinned(&bench), [(HOST.to_owned(), NEWCOMER)]);
    replays(&bench);
}

#[test]
fn only_what_was_paid_after_an_approval_pins_and_only_the_host_that_the_policy_names() {
    let mut bench = Bench::new();
    put_in_force(&mut bench, &with(2, &by_host("newcomer")));
    let first = pay_to("newcomer", NEWCOMER, HOST, 100_000);
    let id = held(bench.propose(proposal("first", 0, first.clone())));
    let (agent, body) = ("scout".into(), first.body_hash());
    bench.submit(Statement::Deny { agent, intent: id, body }, None).unwrap();
    refused(bench.propose(proposal("first", 0, first)));
    // A payee with an address that was approved for its amount pins nothing either.
    let dear = pay(600_000);
    let id = held(bench.propose(proposal("dear", 0, dear.clone())));
    bench.approve(id, &dear, 2).unwrap();
    allowed(bench.propose(proposal("dear", 0, dear)));
    let elsewhere = pay_to("newcomer", NEWCOMER, "evil.example", 100_000);
    assert_eq!(
        refused(bench.propose(proposal("elsewhere", 0, elsewhere))),
        ["payee.newcomer.host"]
    );
    assert!(pinned(&bench).is_empty());
    replays(&bench);
}

#[test]
fn what_went_to_peers_counts_against_the_pool_whatever_later_policies_call_them() {
    let mut bench = Bench::new();
    let pool = "[pool.USDC]\npayment = \"0.10\"\nday = \"0.25\"\n";
    put_in_force(&mut bench, &with(2, pool));
    let peer = |to, units| pay_to("peer:new.example", to, HOST, units);
    allowed(bench.propose(proposal("shop", 0, pay(500_000))));
    allowed(bench.propose(proposal("one", 0, peer(NEWCOMER, 100_000))));
    allowed(bench.propose(proposal("two", 0, peer(IMPOSTOR, 100_000))));
    assert_eq!(
        refused(bench.propose(proposal("three", 0, peer(NEWCOMER, 100_000)))),
        ["pool.USDC.day"]
    );
    let spent = |bench: &Bench, scope| {
        let nobody = BTreeMap::new();
        let ledger = Ledger::new(&bench.state, "scout", None, &nobody, bench.now);
        ledger.spent(scope, usdc(0).asset, 0)
    };
    assert_eq!(spent(&bench, Scope::Pool), U256::from(200_000));
    assert_eq!(spent(&bench, Scope::Payee(NEWCOMER)), U256::from(100_000));
    assert_eq!(spent(&bench, Scope::Agent), U256::from(700_000));
    // Who was a peer when it was paid stays one in the sum.
    let named =
        format!("[[payee]]\nname = \"newcomer\"\naddress = \"{NEWCOMER}\"\nhost = \"{HOST}\"\n");
    put_in_force(&mut bench, &with(3, &format!("{pool}{named}")));
    allowed(bench.propose(proposal("named", 0, pay_to("newcomer", NEWCOMER, HOST, 300_000))));
    assert_eq!(spent(&bench, Scope::Pool), U256::from(200_000));
    assert_eq!(spent(&bench, Scope::SubAgent("helper")), U256::ZERO, "the agent's own");
    replays(&bench);
}

fn hold(bench: &mut Bench, task: &str) -> (IntentId, Intent) {
    let intent = pay(600_000);
    (held(bench.propose(proposal(task, 0, intent.clone()))), intent)
}

#[test]
fn a_question_closes_when_the_policy_says_that_asked_it() {
    let mut bench = Bench::new();
    put_in_force(&mut bench, &with(2, "[approvals]\nheld = \"2h\"\n"));
    let (early, intent) = hold(&mut bench, "early");
    bench.now += HOUR;
    put_in_force(&mut bench, &with(3, "[approvals]\nheld = \"30min\"\n"));
    let (late, _) = hold(&mut bench, "late");
    let standing = |bench: &Bench, id| bench.state.intent(id).unwrap().standing(bench.now);
    bench.now += HOUR / 2 + 1;
    assert_eq!(standing(&bench, late), PaymentState::Refused);
    assert_eq!(standing(&bench, early), PaymentState::Held);
    bench.approve(early, &intent, 3).unwrap();
    bench.now += HOUR / 2;
    assert_eq!(standing(&bench, early), PaymentState::Refused);
    replays(&bench);
}

#[test]
fn an_approval_is_as_old_as_its_entry_in_the_journal() {
    let mut bench = Bench::new();
    put_in_force(&mut bench, &with(2, "[approvals]\nvalid = \"5min\"\n"));
    let (id, intent) = hold(&mut bench, "buy");
    bench.now += 23 * HOUR;
    bench.approve(id, &intent, 2).unwrap();
    bench.now += 300_001;
    held(bench.propose(proposal("buy", 0, intent.clone())));
    // The question is asked anew, and another approval has its own five minutes.
    bench.approve(id, &intent, 2).unwrap();
    bench.now += 300_000;
    allowed(bench.propose(proposal("buy", 0, intent)));
    replays(&bench);
}

#[test]
fn an_adopted_policy_may_consist_of_three_documents_and_is_replayed_from_one_entry() {
    let mut bench = Bench::new();
    let whole = policy(2);
    // What all agents share goes to the owner's document; the limits stay with the agent.
    let (ground, rest) = whole.split_at(whole.find("[limits.USDC]").unwrap());
    let sources = Sources {
        policy: format!("format = 1\nversion = 2\n{rest}"),
        owner: Some(ground.replace("version = 2\n", "")),
        cedar: Some("forbid(principal, action, resource);\n".to_owned()),
    };
    put_in_force(&mut bench, &sources.document());
    assert_eq!(refused(bench.propose(proposal("buy", 0, pay(1)))), ["cedar.1"]);
    let Body::Adopt { document, .. } = &bench.entries.last().unwrap().body else {
        let adopted = bench.state.agent("scout").unwrap().policy.as_ref().unwrap();
        assert_eq!(Sources::read(&adopted.document).unwrap(), sources);
        return replays(&bench);
    };
    panic!("the refusal was not journalled after {document}");
}

#[test]
fn a_policy_that_would_not_fit_into_an_entry_is_refused_in_one_line() {
    let mut bench = Bench::new();
    // Within the reader's 40 KiB; but every quote is two bytes in the journal.
    let text = format!("{}\n# {}\n", policy(2), "\"".repeat(35_000));
    let (read, _) = parse(&text).unwrap();
    let statement = Statement::Adopt { agent: "scout".into(), version: 2, policy: read.hash };
    let fault = bench.hand_in(signed(&owner(), statement, Some(text.clone()))).unwrap_err();
    assert_eq!(fault.code, "malformed");
    assert!(fault.message.contains("bytes of a journal entry"), "{}", fault.message);
    assert!(!fault.message.contains('\n'));
    assert_eq!(
        marque_steward::entry::fits(&text).unwrap_err().to_string(),
        fault.message,
        "an owner is told the same before signing"
    );
    // The longest document that passes also passes as an entry.
    let room = marque_steward::entry::MAX_DOCUMENT - 2;
    marque_steward::entry::fits(&"\"".repeat(room / 2)).unwrap();
    marque_steward::entry::fits(&"\"".repeat(room / 2 + 1)).unwrap_err();
    let most = format!("{}# {}\n", policy(2), "\"".repeat(27_000));
    put_in_force(&mut bench, &most);
    replays(&bench);
}
