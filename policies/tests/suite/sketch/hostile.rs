//! Everything that a hostile mind could write into an intent.

use super::{
    request::{labels, via},
    *,
};
use alloy_primitives::U256;
use marque_policies::{
    IntentId, Label,
    intent::{
        AcceptWallet, Authorise, Fetch, PermitTransfer, Settle, SettlePermit, Sweep, ToolUse,
        Transfer,
    },
};

/// Everything that a hostile mind could write into an intent.
pub(crate) fn wild_intent(dice: &mut Dice) -> Intent {
    let known = ["weather-feed", "muscle", "fetch", "feed.example", "127.0.0.1:4021", "a", "GET"];
    let text = |dice: &mut Dice| match dice.below(3) {
        0 => (*dice.pick(&known)).to_owned(),
        1 => {
            let odd = ['\0', '\u{202e}', 'é', '"', '\\', '\n', '.', ':', '[', ']', '*', '/', ' '];
            (0..dice.below(20)).map(|_| *dice.pick(&odd)).collect()
        }
        _ => (0..dice.below(40))
            .filter_map(|_| char::from_u32(dice.below(0x11_0000) as u32))
            .collect::<String>(),
    };
    let address = |dice: &mut Dice| match dice.below(3) {
        0 => *dice.pick(&ADDRESSES),
        _ => Address::left_padding_from(&dice.next().to_be_bytes()),
    };
    let units = |dice: &mut Dice| match dice.below(4) {
        0 => U256::MAX,
        1 => U256::MAX >> dice.below(256),
        2 => U256::ZERO,
        _ => U256::from(dice.below(10)),
    };
    let money = |dice: &mut Dice| {
        let asset = match dice.below(3) {
            0 => AssetId { chain: dice.next(), token: address(dice) },
            _ => *dice.pick(&[USDC, ETH]),
        };
        Money::new(units(dice), asset)
    };
    let (payee, to, amount) = (text(dice), address(dice), money(dice));
    let web = text(dice);
    let labels = labels(dice).with(Label::Web(web));
    match dice.below(10) {
        0 => {
            let (host, resource) = (text(dice), text(dice));
            Intent::Authorise(Authorise { payee, to, amount, host, resource, labels })
        }
        1 => Intent::Transfer(Transfer { payee, to, amount, labels }),
        2 => {
            let Intent::Settle(settle) = settle(to, amount) else { panic!("not a settlement") };
            let (valid_after, valid_before) = (dice.next(), dice.next());
            let signature = text(dice);
            Intent::Settle(Settle { valid_after, valid_before, signature, ..settle })
        }
        3 => {
            let mut arguments = std::collections::BTreeMap::new();
            for _ in 0..dice.below(3) {
                let value = match dice.below(3) {
                    0 => Argument::Flag(true),
                    1 => Argument::Integer(dice.next().cast_signed()),
                    _ => Argument::Text(text(dice)),
                };
                arguments.insert(text(dice), value);
            }
            let (method, host, path) = (text(dice), text(dice), text(dice));
            let bytes_out = if dice.percent(30) { u64::MAX } else { dice.next() };
            let fetch = dice.percent(80).then_some(Fetch { method, host, path, bytes_out });
            Intent::Tool(ToolUse { tool: payee, fetch, arguments, labels })
        }
        4 => {
            let (chain, agent_id) = (dice.next(), units(dice));
            let (registry, owner) = (address(dice), address(dice));
            Intent::AcceptWallet(AcceptWallet { chain, registry, agent_id, owner })
        }
        5 => {
            let (host, resource, via) = (text(dice), text(dice), via(dice));
            let pay = PermitTransfer { payee, to, amount, host, resource, via, labels };
            Intent::PermitTransfer(pay)
        }
        6 => {
            let Intent::SettlePermit(settle) = settle_permit(to, amount, money(dice), via(dice))
            else {
                panic!("not a settlement")
            };
            let (valid_after, deadline, nonce) = (dice.next(), dice.next(), units(dice));
            let signature = text(dice);
            let settle = SettlePermit { valid_after, deadline, nonce, signature, ..settle };
            Intent::SettlePermit(settle)
        }
        7 if dice.percent(50) => Intent::Refill { amount },
        7 => Intent::ApprovePermit2 { amount },
        8 => Intent::InvalidatePermit {
            intent: IntentId::derive(Default::default(), &payee, "t", 0, 0, 0),
        },
        _ => Intent::Sweep(Sweep { amount }),
    }
}
