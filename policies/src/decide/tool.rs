//! What may be used, which hosts it may reach, how often, and how much may leave.

use super::{Judge, limits::since, quoted};
use crate::{explain::per, host, intent::ToolUse};

impl Judge<'_> {
    pub(super) fn tool(&mut self, used: &ToolUse) {
        let policy = self.policy;
        let tool = policy.tools.get(&used.tool);
        let known: Vec<&str> = policy.tools.keys().map(String::as_str).collect();
        self.check("tool.known", tool.is_some(), quoted(&used.tool), known.join(", "), || {
            "have the owner add a [[tool]] to the policy".to_owned()
        });
        let Some(tool) = tool else { return };
        let path = format!("tool.{}", used.tool);
        if let Some(fetch) = &used.fetch {
            let hosts =
                if tool.hosts.is_empty() { "no hosts".to_owned() } else { tool.hosts.join(", ") };
            self.check(
                format!("{path}.hosts"),
                tool.hosts.iter().any(|pattern| host::matches(pattern, &fetch.host)),
                quoted(&fetch.host),
                hosts,
                || "add the host to the tool's `hosts`".to_owned(),
            );
        }
        if let Some((most, width)) = tool.rate {
            let uses = self.ledger.uses(&used.tool, since(self.now, Some(width)));
            self.check(
                format!("{path}.rate"),
                uses.checked_add(1).is_some_and(|sum| sum <= most),
                format!("{uses} times {} + 1", per(width)),
                format!("{most} times {}", per(width)),
                || "wait until earlier uses leave the window".to_owned(),
            );
        }
        if let Some((most, width)) = tool.sends {
            let out = used.fetch.as_ref().map_or(0, |fetch| fetch.bytes_out);
            let sent = self.ledger.bytes_out(&used.tool, since(self.now, Some(width)));
            let left = most.saturating_sub(sent);
            self.check(
                format!("{path}.sends"),
                sent.checked_add(out).is_some_and(|sum| sum <= most),
                format!("{sent} bytes {} + {out}", per(width)),
                format!("{most} bytes {}", per(width)),
                || format!("{left} bytes fit now, more as earlier ones leave the window"),
            );
        }
    }
}
