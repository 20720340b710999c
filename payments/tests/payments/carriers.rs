//! The same messages over MCP and A2A: found where the transports put them, decided and signed by the
//! same code as over HTTP.

use crate::support::{Steward, USDC, client, usdc};
use alloy_primitives::{Address, B256};
use marque_payments::{
    Asked, Buyer, Errand, PaymentError, Rule,
    x402::{ExactPayload, PaymentPayload, a2a, mcp},
};
use marque_policies::{Intent, Labels};
use marque_steward_client::Said;
use serde_json::{Value, json};
use std::sync::Arc;
use url::Url;

const SELLER: Address = Address::repeat_byte(0x5e);

fn terms(resource: &str) -> Value {
    json!({
        "x402Version": 2,
        "resource": { "url": resource },
        "accepts": [{
            "scheme": "exact", "network": "eip155:31337", "amount": "20000", "asset": USDC.token,
            "payTo": SELLER, "maxTimeoutSeconds": 60,
            "extra": { "name": "USD Coin", "version": "2" }
        }]
    })
}

fn world() -> (Arc<Steward>, Buyer, Url) {
    let steward = Arc::new(Steward::new("scout", 1, SELLER, "seller.example"));
    let buyer = Buyer::new(client("127.0.0.1:4021"), Arc::clone(&steward) as _);
    (steward, buyer, Url::parse("https://seller.example/v1").unwrap())
}

fn errand(task: &str) -> Errand {
    Errand {
        task: task.to_owned(),
        step: 0,
        ordinal: 1,
        attempt: 0,
        max: Some(usdc(20_000)),
        labels: Labels::default(),
    }
}

fn settled() -> Value {
    json!({
        "success": true, "transaction": B256::repeat_byte(7), "network": "eip155:31337"
    })
}

#[tokio::test]
async fn a_tool_over_mcp_is_paid_for_and_its_settlement_read() {
    let (steward, buyer, server) = world();
    let asked = Asked::tool(&server, "analysis");
    let terms = terms("mcp://tool/analysis");
    let text = terms.to_string();
    for result in [
        json!({ "isError": true, "structuredContent": terms, "content": [] }),
        json!({ "isError": true, "content": [{ "type": "text", "text": text }] }),
        json!({ "resultType": "payment_required", "paymentRequired": terms }),
    ] {
        let required = mcp::required(&result).unwrap().unwrap();
        let deal = buyer.agree(&required, &asked, &errand("mcp")).await.unwrap();
        let mut call = json!({ "name": "analysis", "arguments": {}, "_meta": { "other": 1 } });
        mcp::attach(&mut call, &deal.payload).unwrap();
        assert_eq!(call["_meta"]["other"], 1);
        let sent: PaymentPayload =
            serde_json::from_value(call["_meta"]["x402/payment"].clone()).unwrap();
        let exact: ExactPayload = serde_json::from_value(sent.payload).unwrap();
        assert_eq!((exact.authorization.to, exact.authorization.nonce), (SELLER, deal.id.nonce()));

        let done = json!({ "content": [], "_meta": { "x402/payment-response": settled() } });
        let said = mcp::settlement(&done).unwrap();
        let paid = buyer.delivered(deal, said.as_ref(), b"analysis").await;
        assert_eq!(paid.transaction, Some(B256::repeat_byte(7)));
    }
    let Intent::Authorise(pay) = steward.proposed().remove(0).intent else { panic!() };
    assert_eq!(
        (pay.host.as_str(), pay.resource.as_str()),
        ("seller.example", "mcp://tool/analysis")
    );
    assert!(matches!(steward.reported().pop(), Some(Said::Delivered { .. })));
}

#[tokio::test]
async fn a_tool_that_asks_for_another_tools_price_is_not_paid() {
    let (steward, buyer, server) = world();
    let asked = Asked::tool(&server, "analysis");
    for resource in ["mcp://tool/other", "mcp://elsewhere.example/analysis", "https://x.example/"] {
        let result = json!({ "isError": true, "structuredContent": terms(resource) });
        let required = mcp::required(&result).unwrap().unwrap();
        let error = buyer.agree(&required, &asked, &errand("mcp")).await.unwrap_err();
        assert!(matches!(&error, PaymentError::Terms(o) if o[0].rule == Rule::Resource), "{error}");
    }
    assert!(steward.proposed().is_empty());
}

#[test]
fn an_mcp_result_without_terms_asks_for_nothing() {
    for result in [
        json!({ "content": [{ "type": "text", "text": terms("mcp://tool/a").to_string() }] }),
        json!({ "isError": true, "content": [{ "type": "text", "text": "no such tool" }] }),
        json!({ "isError": true, "structuredContent": { "x402Version": 2 } }),
        json!({ "isError": true }),
        json!([]),
        Value::Null,
    ] {
        assert_eq!(mcp::required(&result).unwrap(), None, "{result}");
    }
    let old = json!({ "isError": true, "structuredContent": { "x402Version": 1, "accepts": [] } });
    assert!(matches!(mcp::required(&old), Err(PaymentError::Unsupported(_))));
    let broken = json!({ "resultType": "payment_required" });
    assert!(mcp::required(&broken).is_err());
    assert!(mcp::attach(&mut Value::Null, &payload()).is_err());
    assert!(mcp::attach(&mut json!({ "_meta": 1 }), &payload()).is_err());
}

fn payload() -> PaymentPayload {
    let accepted = terms("https://seller.example/")["accepts"][0].clone();
    serde_json::from_value(json!({ "x402Version": 2, "accepted": accepted, "payload": {} }))
        .unwrap()
}

#[tokio::test]
async fn an_agents_work_over_a2a_is_paid_for_and_its_settlement_read() {
    let (steward, buyer, agent) = world();
    let asked = Asked::agent(&agent);
    let answer = |state: &str, metadata: Value| json!({ "id": "task-1", "status": { "state": state, "message": { "metadata": metadata } } });
    let metadata = json!({
        "x402.payment.status": "payment-required",
        "x402.payment.required": terms("https://seller.example/image"),
    });
    for state in ["input-required", "TASK_STATE_INPUT_REQUIRED"] {
        let required = a2a::required(&answer(state, metadata.clone())).unwrap().unwrap();
        let deal = buyer.agree(&required, &asked, &errand("a2a")).await.unwrap();
        let sent = a2a::submitted(&deal.payload).unwrap();
        assert_eq!(sent["x402.payment.status"], "payment-submitted");
        assert_eq!(sent["x402.payment.payload"]["payload"]["authorization"]["value"], "20000");
        let done = json!({ "task": answer("completed", json!({
            "x402.payment.status": "payment-completed",
            "x402.payment.receipts": [{ "success": false, "transaction": "", "network": "x" }, settled()],
        })) });
        let said = a2a::settlement(&done).unwrap();
        let paid = buyer.delivered(deal, said.as_ref(), b"image").await;
        assert_eq!((paid.transaction, paid.doubt), (Some(B256::repeat_byte(7)), None));
        assert_eq!(a2a::failure(&done), None);
    }
    assert_eq!(steward.proposed().len(), 2);
    let working = answer("working", metadata);
    assert_eq!(a2a::required(&working).unwrap(), None);
    let failed = answer(
        "failed",
        json!({
            "x402.payment.status": "payment-failed", "x402.payment.error": "EXPIRED_PAYMENT",
        }),
    );
    assert_eq!(a2a::failure(&failed), Some("EXPIRED_PAYMENT"));
    assert_eq!(a2a::settlement(&failed).unwrap(), None);
}
