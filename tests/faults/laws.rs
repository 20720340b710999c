//! What must hold after every run.

use crate::{
    fault::Fault,
    scene::{PRICE, PURSE, Scene},
    shop::SHOP,
};
use alloy_primitives::{B256, U256};
use marque_policies::{AssetId, Intent, Scope};
use marque_steward::{Home, State, audit};
use marque_steward_client::PaymentState;
use std::{
    collections::BTreeSet,
    fmt,
    time::{Duration, Instant},
};

/// How long everything may take to come to its end.
const PATIENCE: Duration = Duration::from_secs(150);

/// What was counted over many runs.
#[derive(Debug, Default)]
pub(crate) struct Sum {
    payments: u64,
    units: u64,
}

impl Sum {
    pub(crate) fn add(&mut self, other: &Self) {
        self.payments += other.payments;
        self.units += other.units;
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { payments, units } = self;
        write!(f, "{payments} payments of {units} base units: 0 double, 0 lost, all closed")
    }
}

impl Scene {
    /// Waits until nothing is live, and compares both ledgers with the chain; answers what this run
    /// added.
    pub(crate) async fn judge(&mut self, fault: Fault) -> Sum {
        let [buyer, seller, inn] = self.closed(fault).await;
        let dollar =
            AssetId { chain: self.town.economy.devnet.chain_id(), token: self.town.economy.dollar };
        let rpc = &self.town.economy.rpc;
        let held = async |who| rpc.erc20_balance(dollar.token, who).await.unwrap().to::<u64>();
        let scout = self.scout.party.address;
        let (feed_has, shop_has, scout_has) =
            (held(self.feed.party.address).await, held(SHOP).await, held(scout).await);
        let inn_has = held(self.inn.party.address).await;

        // Not twice, and not for nothing.
        assert_eq!(feed_has, self.delivered * PRICE, "{fault:?}: paid and delivered differ");
        assert_eq!(shop_has, self.handed_to_shop * PRICE, "{fault:?}: the shop has another sum");
        assert_eq!(inn_has, self.delivered_by_inn * PRICE, "{fault:?}: the inn has another sum");
        assert_eq!(scout_has, PURSE - feed_has - shop_has - inn_has, "{fault:?}");

        // Each authorisation on chain is one that the ledger calls final, and the other way round.
        let used = rpc.authorizations_used_by(dollar.token, scout, 0).await.unwrap();
        let on_chain: BTreeSet<B256> = used.iter().map(|(nonce, ..)| *nonce).collect();
        assert_eq!(on_chain.len(), used.len(), "{fault:?}: the chain took a nonce twice");
        let paid = buyer.intents().iter().filter(|(_, record)| record.state == PaymentState::Final);
        let in_ledger: BTreeSet<B256> = paid
            .filter(|(_, record)| matches!(record.decided.intent, Intent::Authorise(_)))
            .map(|(id, _)| id.nonce())
            .collect();
        assert_eq!(in_ledger, on_chain, "{fault:?}: the buyer's ledger and the chain differ");

        // To the unit.
        let spent = |state: &State, agent: &str, asset| {
            state.debits().spent(agent, &Scope::Agent, asset, 0)
        };
        assert_eq!(
            spent(&buyer, "scout", dollar),
            U256::from(PURSE - scout_has),
            "{fault:?}: the buyer's ledger"
        );
        let ether = U256::from(10_u64).pow(U256::from(18));
        for (state, citizen, has, stolen) in [
            (&seller, &self.feed, feed_has, self.stolen_gas),
            (&inn, &self.inn, inn_has, U256::ZERO),
        ] {
            let name = &citizen.party.name;
            let finals =
                state.intents().values().filter(|record| record.state == PaymentState::Final);
            let income: U256 = finals
                .filter_map(|record| match &record.decided.intent {
                    Intent::Settle(settle) => Some(settle.amount.units),
                    _ => None,
                })
                .sum();
            assert_eq!(income, U256::from(has), "{fault:?}: the income of {name}");
            let gas = ether - rpc.balance(citizen.party.address).await.unwrap() - stolen;
            let debited = spent(state, name, AssetId::native(dollar.chain));
            assert_eq!(debited, gas, "{fault:?}: the gas of {name}");
        }
        let sum = Sum { payments: used.len() as u64, units: feed_has + shop_has + inn_has };
        let added = Sum {
            payments: sum.payments - self.judged.payments,
            units: sum.units - self.judged.units,
        };
        self.judged = sum;
        added
    }

    /// The ledgers, once nothing in them is live.
    async fn closed(&mut self, fault: Fault) -> [State; 3] {
        let begun = Instant::now();
        loop {
            let read = |path| audit::state(&Home::open(path).unwrap()).unwrap();
            let buyer = read(self.scout.party.home.path());
            let seller = read(self.feed.party.home.path());
            let inn = read(self.inn.party.home.path());
            let live = |state: &State| {
                let live = state.intents().values().filter(|record| record.is_live());
                live.map(|record| format!("{:?} {:?}", record.state, record.decided.intent))
                    .collect::<Vec<_>>()
            };
            let open = [live(&buyer), live(&seller), live(&inn)].concat();
            if open.is_empty() {
                return [buyer, seller, inn];
            }
            if begun.elapsed() > PATIENCE {
                self.logs();
                panic!("{fault:?}: still open: {open:?}");
            }
            self.revive().await;
            self.thaw().await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
