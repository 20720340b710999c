// Without a model and without the internet: a chain of its own (anvil), a seller that settles, and a
// mind that says what stands here. The module `marque::testing` has more.
use super::*;
use marque::testing::{Result, Town, answer, call};

#[tokio::test]
async fn the_data_is_bought_once() -> Result {
    let town = Town::start().await?;
    let table = "hour,knots\n0,14.2\n";
    let feed = town.seller("feed").sells("/wind.csv", "0.02 tUSD", table).open().await?;
    let url = feed.url("/wind.csv");
    let scout = town
        .agent("scout")
        .pays(&feed)
        .may("fetch_data")
        .thinks([call("fetch_data", [("url", url)]), answer("1 rows")])
        .open()
        .await?;
    let said: String = scout.agent().tool(fetch_data).run("Get the data").await?;
    assert_eq!(said, "1 rows");
    assert_eq!(town.holds(&scout).await?, "4.98 tUSD");
    Ok(())
}
