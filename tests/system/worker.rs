//! An agent that thinks with a model for hire: the worker's endpoint is its model, each reply is paid.

use marque::testing::{Town, answer, call};
use marque_agent_core::{Agent, Cx, Remote, RemoteOptions, ToolError};
use marque_compute::Worker;
use marque_macros::tool;
use marque_models::Scripted;
use marque_policies::{AssetId, Money};
use std::{sync::Arc, time::Duration};

/// How hard it blows.
#[tool]
async fn wind(_cx: &Cx, at: String) -> Result<String, ToolError> {
    Ok(format!("14 knots at {at}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_thinks_with_a_workers_model_and_pays_for_each_reply() {
    let town = Town::start().await.unwrap();
    let economy = town.economy();
    let asset = AssetId { chain: economy.devnet.chain_id(), token: economy.dollar };
    // A hundred-thousandth of a test dollar for a token.
    let price = Money::new(alloy_primitives::U256::from(10), asset);
    let model = Arc::new(Scripted::new([call("wind", [("at", "Horta")]), answer("14 knots")]));
    let serves = move |seller| Ok(Worker::new(model, seller, price).router());
    let muscle = town.seller("muscle").serves(serves).open().await.unwrap();
    let scout = town.agent("scout").pays(&muscle).may("model").may("wind").open().await.unwrap();
    let options = RemoteOptions {
        endpoint: muscle.url("/v1").parse().unwrap(),
        name: "default".to_owned(),
        key: None,
        context: 2_048,
        max_price: Some("0.05 tUSD".to_owned()),
        patience: Duration::from_secs(5),
    };
    let steward = Arc::new(scout.steward());
    let agent = Agent::builder("scout")
        .model(Arc::new(Remote::new(options, steward.clone()).unwrap()))
        .steward(steward)
        .mind_dir(town.dir().join("mind"))
        .build()
        .await
        .unwrap()
        .tool(wind);
    let said = agent.run_as::<String>("sail", "Is it windy in Horta?").await.unwrap();
    assert_eq!(said, "14 knots");
    let task = agent.task("sail").await.unwrap().unwrap();
    assert_eq!(task.steps()[0].result["value"], "14 knots at Horta");
    let payments = scout.steward().view().await.unwrap().intents;
    let payments = payments.iter().filter(|intent| intent.intent.spends().is_some());
    assert_eq!(payments.count(), 2, "two replies");
    let cost = agent.cost("sail").await.unwrap().to_string();
    assert_ne!(cost, "0.00 tUSD");
    assert_eq!(town.holds(&muscle).await.unwrap(), cost);
}
