//! What may be used, which hosts it may reach and how, with which arguments, how often, and how
//! much may leave.

use super::{Judge, limits::since, payment::list_or, quoted};
use crate::{
    document::Tool,
    explain::{list_all, per},
    host,
    intent::ToolUse,
};

impl Judge<'_> {
    pub(super) fn tool(&mut self, used: &ToolUse) {
        let policy = self.policy;
        let tool = policy.tools.get(&used.tool);
        let known = list_all(policy.tools.keys().map(String::as_str));
        self.check("tool.known", tool.is_some(), quoted(&used.tool), known, || {
            "have the owner add a [[tool]] to the policy".to_owned()
        });
        if let Some(tool) = tool {
            let path = format!("tool.{}", used.tool);
            self.reach(&path, tool, used);
            self.frequency(&path, tool, used);
            self.during(format!("{path}.times"), &tool.times);
            self.arguments(&path, &tool.arguments, &used.arguments);
            self.argument_labels(&path, &used.labels, &tool.labels);
        }
        if let Some((name, sub_agent)) = self.sub_agent {
            self.check(
                format!("sub_agent.{name}.tools"),
                tool.is_some() && sub_agent.tools.contains(&used.tool),
                quoted(&used.tool),
                list_or(&sub_agent.tools, "no tool"),
                || format!("add the tool to `tools` of [sub_agent.{name}]"),
            );
        }
    }

    fn reach(&mut self, path: &str, tool: &Tool, used: &ToolUse) {
        let Some(fetch) = &used.fetch else { return };
        self.check(
            format!("{path}.hosts"),
            tool.hosts.iter().any(|pattern| host::matches(pattern, &fetch.host)),
            quoted(&fetch.host),
            list_or(&tool.hosts, "no hosts"),
            || "add the host to the tool's `hosts`".to_owned(),
        );
        if !tool.methods.is_empty() {
            self.check(
                format!("{path}.methods"),
                tool.methods.contains(&fetch.method),
                quoted(&fetch.method),
                list_or(&tool.methods, "no method"),
                || "add the method to the tool's `methods`".to_owned(),
            );
        }
    }

    fn frequency(&mut self, path: &str, tool: &Tool, used: &ToolUse) {
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
