//! Floats that cannot be what they say.

use super::Advice;
use crate::{
    document::{DAY, Float, HOUR, Limits, Policy},
    money::{AssetId, Money},
};

impl Advice<'_> {
    /// What no refill can pay for, no window lets out, or nobody needs.
    pub(super) fn floats(&mut self) {
        let policy = self.policy;
        for (asset, Float { high, required, .. }) in &policy.floats {
            let name = policy.asset(*asset).map_or("?", |(name, _)| name);
            let path = format!("float.{name}");
            let coin = AssetId::native(asset.chain);
            if !policy.gas.contains_key(&coin) && !policy.limits.contains_key(&coin) {
                let message = format!(
                    "{path} is never filled: a refill is a transaction, and no fees may be paid; \
                     add [limits.gas]"
                );
                self.say(&format!("{path}.low"), message);
            }
            for (whose, limits) in [("", &policy.limits), ("owner.", &policy.owner_limits)] {
                let widest = limits.get(asset).and_then(Limits::widest);
                let Some((window, most)) = widest.filter(|(_, most)| most < high) else { continue };
                let show = |units| policy.show(Money::new(units, *asset));
                let message = format!(
                    "{path}.high ({}) is more than {whose}limits.{name} lets out {} ({}), so this float is \
                     never filled at once: lower `high` in [{path}]",
                    show(*high),
                    called(window),
                    show(most)
                );
                self.say(&format!("{path}.high"), message);
            }
            if *required && pays_nobody(policy) {
                let message = format!(
                    "{path}.delegation: nobody can be paid under this policy, so \"required\" keeps \
                     nothing back: leave it out"
                );
                self.say(&format!("{path}.delegation"), message);
            }
        }
    }
}

impl Limits {
    /// The window that lets the most out, with its width (`None` for ever).
    fn widest(&self) -> Option<(Option<u64>, alloy_primitives::U256)> {
        let windows = self.windows().map(|(_, width, units)| (width, units));
        windows.max_by_key(|(_, units)| *units)
    }
}

const fn called(width: Option<u64>) -> &'static str {
    match width {
        Some(HOUR) => "in any hour",
        Some(DAY) => "in any day",
        Some(_) => "in any 30 days",
        None => "ever",
    }
}

fn pays_nobody(policy: &Policy) -> bool {
    policy.payees.is_empty() && policy.pools.is_empty()
}
