//! The rules, one by one.

mod accounts;
mod labels;
mod payees;
mod permits;
mod pools;
mod times;
mod tools;

use crate::support::*;
use alloy_primitives::{Address, U256};
use marque_policies::{
    AssetId, Decision, Intent, IntentId, Label, Labels, Money, budgets,
    document::{DAY, HOUR},
    intent::{AcceptWallet, Cancel, PermitVia, Sweep, ToolUse, Transfer},
};

const GWEI: u64 = 1_000_000_000;

#[test]
fn an_empty_policy_allows_nothing() {
    let empty = policy(GROUND);
    let tool = ToolUse {
        tool: "fetch".to_owned(),
        fetch: None,
        arguments: Default::default(),
        labels: Labels::default(),
    };
    let intent = IntentId::derive(Default::default(), "scout", "t", 0, 0, 0);
    let accept =
        AcceptWallet { chain: CHAIN, registry: REGISTRY, agent_id: U256::ONE, owner: OWNER };
    for intent in [
        Intent::Tool(tool),
        fetch("fetch", "feed.example", 1),
        feed(1),
        feed(0),
        transfer(usdc(1)),
        transfer(wei(1)),
        settle(AGENT, usdc(1)),
        Intent::AcceptWallet(accept),
        Intent::Sweep(Sweep { amount: usdc(1) }),
        Intent::Sweep(Sweep { amount: wei(1) }),
        Intent::Cancel(Cancel { intent }),
        permit(usdc(1), PermitVia::Exact),
        permit(usdc(1), PermitVia::Upto { facilitator: AGENT }),
        Intent::InvalidatePermit { intent },
        Intent::ApprovePermit2 { amount: usdc(0) },
        Intent::ApprovePermit2 { amount: usdc(1) },
        Intent::Refill { amount: usdc(1) },
        settle_permit(AGENT, usdc(1), usdc(0), PermitVia::Upto { facilitator: AGENT }),
        settle_permit(AGENT, usdc(1), usdc(1), PermitVia::Exact),
    ] {
        for gas in [None, Some(wei(0)), Some(wei(1)), Some(usdc(1))] {
            let verdict = judge(&empty, &intent, gas, &Book::default());
            assert_ne!(verdict.decision(), Decision::Allow, "{intent:?}");
        }
    }
}

#[test]
fn a_payment_within_every_limit_is_allowed() {
    let verdict = judge(&usual(), &feed(500_000), None, &Book::default());
    assert_eq!(verdict.decision(), Decision::Allow, "{verdict:#?}");
}

#[test]
fn a_stranger_or_another_address_is_refused() {
    let stranger = Intent::Authorise(pay("stranger", STRANGER, usdc(1)));
    assert_eq!(failed(&judge(&usual(), &stranger, None, &Book::default())), ["payee.known"]);
    let other = Intent::Authorise(pay("weather-feed", STRANGER, usdc(1)));
    let verdict = judge(&usual(), &other, None, &Book::default());
    assert_eq!(failed(&verdict), ["payee.weather-feed.address"]);
}

#[test]
fn only_the_payees_own_host_may_ask_for_its_money() {
    let mut intent = pay("weather-feed", FEED, usdc(1));
    intent.host = "feed.example:8443".to_owned();
    let verdict = judge(&usual(), &Intent::Authorise(intent.clone()), None, &Book::default());
    assert_eq!(failed(&verdict), ["payee.weather-feed.host"]);
    intent.host = "FEED.example".to_owned();
    let verdict = judge(&usual(), &Intent::Authorise(intent), None, &Book::default());
    assert_eq!(verdict.decision(), Decision::Allow);
}

#[test]
fn a_pinned_identity_must_be_resolved_and_the_same() {
    let intent = Intent::Authorise(pay("muscle", MUSCLE, usdc(1)));
    let rule = ["payee.muscle.identity"];
    let judge = |book: Book| judge(&usual(), &intent, None, &book);
    assert_eq!(failed(&judge(Book::default())), rule, "no answer is a no");
    assert_eq!(failed(&judge(Book::default().resolving("muscle", STRANGER, MUSCLE))), rule);
    assert_eq!(failed(&judge(Book::default().resolving("muscle", MUSCLE_OWNER, FEED))), rule);
    let same = judge(Book::default().resolving("muscle", MUSCLE_OWNER, MUSCLE));
    assert_eq!(same.decision(), Decision::Allow);
}

#[test]
fn nothing_is_no_amount_and_an_unlisted_asset_may_not_be_spent() {
    assert_eq!(failed(&judge(&usual(), &feed(0), None, &Book::default())), ["amount.positive"]);
    let unknown = AssetId { chain: CHAIN, token: STRANGER };
    let intent = pay("weather-feed", FEED, Money::new(U256::ONE, unknown));
    let verdict = judge(&usual(), &Intent::Authorise(intent), None, &Book::default());
    let failed = failed(&verdict);
    assert!(failed.contains(&"asset.known") && failed.contains(&"payee.weather-feed.day"));
}

#[test]
fn a_window_holds_what_is_younger_than_its_width_and_no_more() {
    let hour = |age| {
        let book = Book::default().paid(STRANGER, usdc(2_900_000), age);
        judge(&usual(), &feed(200_000), None, &book)
    };
    assert_eq!(failed(&hour(HOUR - 1)), ["limits.USDC.hour"]);
    assert_eq!(hour(HOUR).decision(), Decision::Allow);
    let exact = Book::default().paid(STRANGER, usdc(2_900_000), 1);
    assert_eq!(judge(&usual(), &feed(100_000), None, &exact).decision(), Decision::Allow);
}

#[test]
fn every_limit_names_itself() {
    let cases = [
        (feed(1_000_001), Book::default(), "limits.USDC.payment"),
        (feed(1), Book::default().paid(STRANGER, usdc(10_000_000), 2 * HOUR), "limits.USDC.day"),
        (feed(1), Book::default().paid(STRANGER, usdc(100_000_000), 2 * DAY), "limits.USDC.days30"),
        (feed(1), Book::default().paid(STRANGER, usdc(200_000_000), 31 * DAY), "limits.USDC.total"),
        (feed(1), Book::default().paid(FEED, usdc(2_500_000), 2 * HOUR), "payee.weather-feed.day"),
    ];
    for (intent, book, rule) in cases {
        assert_eq!(failed(&judge(&usual(), &intent, None, &book)), [rule]);
    }
}

#[test]
fn the_owner_is_asked_above_the_threshold_and_an_approval_is_for_this_body_only() {
    let large = judge(&usual(), &feed(500_001), None, &Book::default());
    assert_eq!((large.decision(), asked(&large)), (Decision::Hold, vec!["limits.USDC.ask_above"]));
    let approved = Book::default().approving(&feed(500_001));
    assert_eq!(judge(&usual(), &feed(500_001), None, &approved).decision(), Decision::Allow);
    assert_eq!(judge(&usual(), &feed(500_002), None, &approved).decision(), Decision::Hold);
    let much = Book::default().paid(FEED, usdc(1_900_000), 2 * HOUR);
    let verdict = judge(&usual(), &feed(100_001), None, &much);
    assert_eq!(asked(&verdict), ["limits.USDC.ask_above_day"]);
}

#[test]
fn an_approval_turns_no_refusal_into_a_permission() {
    let intent = feed(1_000_001);
    let verdict = judge(&usual(), &intent, None, &Book::default().approving(&intent));
    assert_eq!(failed(&verdict), ["limits.USDC.payment"]);
}

#[test]
fn a_payee_that_did_not_deliver_is_held_by_its_address() {
    let mut book = Book::default();
    book.owing.insert(FEED);
    assert_eq!(asked(&judge(&usual(), &feed(1), None, &book)), ["payee.weather-feed.delivery"]);
}

#[test]
fn all_agents_together_have_limits_of_their_own() {
    let text = GROUND.replace("owner   =", "owner.address =");
    let text = format!("{text}{PERMISSIONS}\n[owner.limits.USDC]\nday = \"4.00\"\n");
    let book = Book::default().paid_by_another_agent(STRANGER, usdc(3_900_000), 2 * HOUR);
    let verdict = judge(&policy(&text), &feed(200_000), None, &book);
    assert_eq!(failed(&verdict), ["owner.limits.USDC.day"]);
    assert_eq!(judge(&usual(), &feed(200_000), None, &book).decision(), Decision::Allow);
}

#[test]
fn a_payee_with_a_limit_is_paid_in_that_asset_only() {
    let text = format!("{GROUND}{PERMISSIONS}").replace("[limits.gas]", "[limits.ETH]");
    let verdict = judge(&policy(&text), &transfer(wei(GWEI)), Some(wei(GWEI)), &Book::default());
    assert_eq!(failed(&verdict), ["payee.weather-feed.day"]);
}

#[test]
fn a_native_transfer_and_its_fees_must_fit_together() {
    let text = format!("{GROUND}{PERMISSIONS}").replace("[limits.gas]", "[limits.ETH]");
    let text = text.replace("day = \"2.50 USDC\"", "");
    let limit = 2_000_000 * GWEI;
    let verdict = |amount, gas| {
        judge(&policy(&text), &transfer(wei(amount)), Some(wei(gas)), &Book::default())
    };
    assert_eq!(verdict(limit - GWEI, GWEI).decision(), Decision::Allow);
    assert_eq!(failed(&verdict(limit - GWEI, GWEI + 1)), ["limits.ETH.day"]);
}

#[test]
fn limits_on_fees_permit_no_payment() {
    let text = format!("{GROUND}{PERMISSIONS}").replace("day = \"2.50 USDC\"", "");
    let verdict = judge(&policy(&text), &transfer(wei(1)), Some(wei(1)), &Book::default());
    assert_eq!(failed(&verdict), ["limits.ETH"]);
}

#[test]
fn a_transaction_needs_known_fees_within_their_limit() {
    let ledger = Book::default();
    let sweep = Intent::Sweep(Sweep { amount: usdc(900_000_000) });
    assert_eq!(judge(&usual(), &sweep, Some(wei(GWEI)), &ledger).decision(), Decision::Allow);
    assert_eq!(failed(&judge(&usual(), &sweep, None, &ledger)), ["gas.known"]);
    let dear = judge(&usual(), &sweep, Some(wei(2_000_001 * GWEI)), &ledger);
    assert_eq!(failed(&dear), ["limits.gas.day"]);
    let without = format!("{GROUND}{PERMISSIONS}").replace("[limits.gas]\nday = \"0.002 ETH\"", "");
    let verdict = judge(&policy(&without), &sweep, Some(wei(1)), &ledger);
    assert_eq!(failed(&verdict), ["limits.gas"]);
    assert!(
        verdict
            .table
            .iter()
            .any(|row| row.mend.as_deref().is_some_and(|m| m.contains("[limits.gas]")))
    );
}

#[test]
fn a_settlement_pays_this_agent_in_an_asset_of_its_income() {
    let gas = Some(wei(GWEI));
    let judge = |intent| judge(&usual(), &intent, gas, &Book::default());
    assert_eq!(judge(settle(AGENT, usdc(1))).decision(), Decision::Allow);
    assert_eq!(failed(&judge(settle(STRANGER, usdc(1)))), ["settle.to"]);
    assert_eq!(failed(&judge(settle(AGENT, usdc(0)))), ["amount.positive"]);
    let other = Money::new(U256::ONE, AssetId { chain: CHAIN, token: STRANGER });
    assert!(failed(&judge(settle(AGENT, other))).contains(&"income.asset"));
}

#[test]
fn payments_to_others_are_settled_only_by_a_facilitators_policy() {
    let gas = Some(wei(GWEI));
    let text = format!("{GROUND}{PERMISSIONS}");
    let facilitator = policy(&format!("{text}\n[facilitator]\nassets = [\"USDC\"]\n"));
    let plain = usual();
    let judge = |policy, intent: &Intent| judge(policy, intent, gas, &Book::default());
    let other = Money::new(U256::ONE, AssetId { chain: CHAIN, token: STRANGER });
    let upto = |facilitator| PermitVia::Upto { facilitator };
    for (intent, refused) in [
        (settle(STRANGER, usdc(1)), "settle.to"),
        (settle_permit(STRANGER, usdc(1), usdc(1), PermitVia::Exact), "settle_permit.to"),
        (settle_permit(STRANGER, usdc(2), usdc(1), upto(AGENT)), "settle_permit.to"),
    ] {
        assert_eq!(failed(&judge(&plain, &intent)), [refused]);
        assert_eq!(judge(&facilitator, &intent).decision(), Decision::Allow, "{refused}");
    }
    assert!(failed(&judge(&facilitator, &settle(STRANGER, other))).contains(&"facilitator.asset"));
    let theirs = settle_permit(STRANGER, usdc(2), usdc(1), upto(STRANGER));
    assert_eq!(failed(&judge(&facilitator, &theirs)), ["settle_permit.facilitator"]);
    // What it earns itself is income still, and fees have their limit.
    assert_eq!(judge(&facilitator, &settle(AGENT, usdc(1))).decision(), Decision::Allow);
    let dear = crate::support::judge(
        &facilitator,
        &settle(STRANGER, usdc(1)),
        Some(wei(2_000_001 * GWEI)),
        &Book::default(),
    );
    assert_eq!(failed(&dear), ["limits.gas.day"]);
}

#[test]
fn a_float_is_refilled_up_to_its_mark_and_an_asset_without_one_never() {
    let text = crate::support::usual_document();
    let floating = policy(&format!("{text}\n[float.USDC]\nlow = \"0.50\"\nhigh = \"1.00\"\n"));
    let judge =
        |policy, amount| judge(policy, &Intent::Refill { amount }, Some(wei(0)), &Book::default());
    for units in [1, 999_999, 1_000_000] {
        assert_eq!(judge(&floating, usdc(units)).decision(), Decision::Allow, "{units}");
    }
    assert_eq!(failed(&judge(&floating, usdc(1_000_001))), ["float.USDC.high"]);
    assert_eq!(failed(&judge(&floating, usdc(0))), ["amount.positive"]);
    assert_eq!(failed(&judge(&floating, wei(1))), ["float.known"]);
    assert_eq!(failed(&judge(&usual(), usdc(1))), ["float.known"]);
}

#[test]
fn an_identity_is_accepted_only_from_the_owner_and_only_when_approved() {
    let accept =
        AcceptWallet { chain: CHAIN, registry: REGISTRY, agent_id: U256::ONE, owner: OWNER };
    let judge = |accept: &AcceptWallet, approve: bool| {
        let intent = Intent::AcceptWallet(accept.clone());
        let book = if approve { Book::default().approving(&intent) } else { Book::default() };
        judge(&usual(), &intent, None, &book)
    };
    assert_eq!(asked(&judge(&accept, false)), ["accept_wallet"]);
    assert_eq!(judge(&accept, true).decision(), Decision::Allow);
    let other_owner = AcceptWallet { owner: STRANGER, ..accept.clone() };
    assert_eq!(failed(&judge(&other_owner, true)), ["accept_wallet.owner"]);
    let other_registry = AcceptWallet { registry: STRANGER, ..accept.clone() };
    assert_eq!(failed(&judge(&other_registry, true)), ["accept_wallet.registry"]);
    let other_chain = AcceptWallet { chain: 1, ..accept };
    assert_eq!(failed(&judge(&other_chain, true)), ["chain.known", "accept_wallet.registry"]);
}

#[test]
fn a_tool_is_known_reaches_its_hosts_and_keeps_its_rates() {
    let judge = |intent, book: Book| judge(&usual(), &intent, None, &book);
    let fresh = Book::default;
    assert_eq!(judge(fetch("fetch", "noaa.gov", 9), fresh()).decision(), Decision::Allow);
    assert_eq!(failed(&judge(fetch("shell", "noaa.gov", 9), fresh())), ["tool.known"]);
    let verdict = judge(fetch("fetch", "evil.example", 9), fresh());
    assert_eq!(failed(&verdict), ["tool.fetch.hosts"]);
    let busy = fresh().used("fetch", 0, 1).used("fetch", 0, 2).used("fetch", 0, 59_999);
    let verdict = judge(fetch("fetch", "noaa.gov", 9), busy);
    assert_eq!(failed(&verdict), ["tool.fetch.rate"]);
    let sent = || fresh().used("fetch", 1_000, 2 * HOUR);
    assert_eq!(judge(fetch("fetch", "noaa.gov", 24), sent()).decision(), Decision::Allow);
    let verdict = judge(fetch("fetch", "noaa.gov", 25), sent());
    assert_eq!(failed(&verdict), ["tool.fetch.sends"]);
    let verdict = judge(fetch("fetch", "noaa.gov", u64::MAX), sent());
    assert_eq!(failed(&verdict), ["tool.fetch.sends"]);
}

#[test]
fn foreign_terms_ask_unless_the_payees_own_host_wants_the_money() {
    let foreign = [
        Label::Model,
        Label::Memory,
        Label::Peer("friend".to_owned()),
        Label::Web("evil.example".to_owned()),
    ];
    for label in foreign {
        let labels = Labels::default().with(label);
        let to_feed = Transfer {
            payee: "weather-feed".to_owned(),
            to: FEED,
            amount: usdc(1),
            labels: labels.clone(),
        };
        let verdict = judge(&usual(), &Intent::Transfer(to_feed), Some(wei(1)), &Book::default());
        assert_eq!(asked(&verdict), ["labels"]);
        let mut own = pay("weather-feed", FEED, usdc(1));
        own.labels = labels;
        let verdict = judge(&usual(), &Intent::Authorise(own), None, &Book::default());
        assert_eq!(verdict.decision(), Decision::Allow);
    }
    let labels = Labels::default().with(Label::Owner).with(Label::Policy).with(Label::Chain);
    let plain = Transfer { payee: "weather-feed".to_owned(), to: FEED, amount: usdc(1), labels };
    let verdict = judge(&usual(), &Intent::Transfer(plain), Some(wei(1)), &Book::default());
    assert_eq!(verdict.decision(), Decision::Allow);
}

#[test]
fn a_sum_past_256_bits_fails() {
    let most = "115792089237316195423570985008687907853269984665640564039457.584007913129639935";
    let text = format!(
        "{GROUND}[limits.ETH]\ntotal = \"{most}\"\n[[payee]]\nname = \"weather-feed\"\naddress = \"{FEED}\"\n"
    );
    let policy = policy(&text);
    let book = Book::default().paid(STRANGER, wei(1), DAY);
    let all = transfer(Money::new(U256::MAX, ETH));
    let failing = |gas: u64, book: &Book| failed(&judge(&policy, &all, Some(wei(gas)), book)).len();
    assert_eq!((failing(0, &Book::default()), failing(0, &book)), (0, 1));
    assert_eq!(failing(1, &Book::default()), 1, "amount and fees overflow");
}

#[test]
fn every_rule_is_evaluated_after_one_has_failed() {
    let mut intent = pay("weather-feed", STRANGER, usdc(5_000_000));
    intent.host = "evil.example".to_owned();
    let verdict = judge(&usual(), &Intent::Authorise(intent), None, &Book::default());
    assert_eq!(
        failed(&verdict),
        [
            "payee.weather-feed.address",
            "payee.weather-feed.host",
            "payee.weather-feed.day",
            "limits.USDC.payment",
            "limits.USDC.hour",
        ]
    );
    assert!(verdict.table.iter().filter(|row| row.mend.is_some()).count() >= 5);
}

#[test]
fn words_of_a_mind_reach_the_table_short_and_harmless() {
    let name = format!("\u{1b}[2Jstranger\n{}", "x".repeat(500));
    let intent = Intent::Authorise(pay(&name, STRANGER, usdc(1)));
    let verdict = judge(&usual(), &intent, None, &Book::default());
    for row in &verdict.table {
        assert!(row.measured.len() < 200 && !row.measured.contains(char::is_control), "{row:?}");
    }
}

#[test]
fn budgets_list_every_window_with_what_is_spent() {
    let book = Book::default().paid(FEED, usdc(400_000), 5 * HOUR).paid(Address::ZERO, wei(7), 1);
    let budgets = budgets(&usual(), &book, NOW);
    let rules: Vec<&str> = budgets.iter().map(|budget| budget.rule.as_str()).collect();
    assert_eq!(
        rules,
        [
            "limits.USDC.hour",
            "limits.USDC.day",
            "limits.USDC.days30",
            "limits.USDC.total",
            "limits.gas.day",
            "payee.weather-feed.day"
        ]
    );
    let spent: Vec<u64> = budgets.iter().map(|budget| budget.spent.units.to::<u64>()).collect();
    assert_eq!(spent, [0, 400_000, 400_000, 400_000, 7, 400_000]);
}

#[test]
fn budgets_tell_when_the_next_bit_comes_free_and_how_much() {
    let book = Book::default()
        .paid(FEED, usdc(400_000), 5 * HOUR)
        .paid(FEED, usdc(50_000), 5 * HOUR)
        .paid(FEED, usdc(100_000), HOUR / 2);
    let budgets = budgets(&usual(), &book, NOW);
    let next = |rule: &str| budgets.iter().find(|budget| budget.rule == rule).unwrap().next;
    // What is an hour old does not count, so the younger payment is the next to leave.
    assert_eq!(next("limits.USDC.hour"), Some((NOW + HOUR / 2, usdc(100_000))));
    assert_eq!(next("limits.USDC.day"), Some((NOW + 19 * HOUR, usdc(450_000))));
    assert_eq!(next("limits.USDC.total"), None);
    assert_eq!(next("limits.gas.day"), None);
    // A moment before it still counts, and then it does not.
    let spent = |now| marque_policies::budgets(&usual(), &book, now)[1].spent;
    assert_eq!(spent(NOW + 19 * HOUR - 1), usdc(550_000));
    assert_eq!(spent(NOW + 19 * HOUR), usdc(100_000));
}
