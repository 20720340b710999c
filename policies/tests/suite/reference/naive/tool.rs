//! What is used, where to, how often and with which arguments.

use super::*;

impl<'a> Naive<'a> {
    pub(super) fn tool(&mut self, used: &'a ToolUse) {
        let tool = self.sketch.tools.iter().find(|tool| tool.name == used.tool);
        self.need(tool.is_some(), format_args!("tool.known"));
        if let Some(sub) = self.sub() {
            let listed = tool.is_some_and(|tool| sub.tools.contains(&tool.name));
            self.need(listed, format_args!("sub_agent.{}.tools", sub.name));
        }
        if let Some(tool) = tool {
            self.known_tool(tool, used);
        }
        self.fees(false);
        let fetch = used.fetch.as_ref();
        // Forbids see hosts and methods in one spelling.
        let host = fetch.map_or(String::new(), |fetch| fetch.host.to_lowercase());
        let method = fetch.map_or(String::new(), |fetch| fetch.method.to_uppercase());
        self.forbids(&Facts {
            verb: Verb::Use,
            name: &used.tool,
            labels: self.bits(&used.labels),
            fetches: fetch.is_some(),
            host: &host,
            method: &method,
            path: fetch.map_or("", |fetch| &fetch.path),
            bytes_out: fetch.map_or(0, |fetch| fetch.bytes_out),
            ..Facts::default()
        });
    }

    fn known_tool(&mut self, tool: &SketchTool, used: &ToolUse) {
        let (name, now) = (tool.name, self.case.now);
        let uses: Vec<_> = self.case.book.uses.iter().filter(|(used, _, _)| used == name).collect();
        let recent = uses.iter().filter(|(_, _, at)| now - at < HOUR).count() + 1;
        let sent: u64 = uses.iter().filter(|(_, _, at)| now - at < DAY).map(|use_| use_.1).sum();
        let out = used.fetch.as_ref().map_or(0, |fetch| fetch.bytes_out);
        if let Some(rate) = tool.rate {
            self.need(recent <= usize::from(rate), format_args!("tool.{name}.rate"));
        }
        if let Some(most) = tool.sends {
            self.need(sent + out <= u64::from(most), format_args!("tool.{name}.sends"));
        }
        self.need(open(&tool.times, now), format_args!("tool.{name}.times"));
        if let Some(fetch) = &used.fetch {
            let listed = tool.hosts.iter().any(|pattern| match *pattern {
                "*.gov" => matches!(&*fetch.host, "x.gov" | "x.y.gov"),
                exact => same_host(exact, &fetch.host),
            });
            self.need(listed, format_args!("tool.{name}.hosts"));
            let method = tool.methods.is_empty() || tool.methods.contains(&&*fetch.method);
            self.need(method, format_args!("tool.{name}.methods"));
        }
        for (argument, demand) in &tool.arguments {
            let good = match (demand, used.arguments.get(*argument)) {
                (_, None) => false,
                (Demand::OneOf(values), Some(value)) => values.contains(value),
                (Demand::Text { starts, longest }, Some(Argument::Text(text))) => {
                    starts.is_none_or(|starts| {
                        text.starts_with(starts)
                            && !text.to_lowercase().replace("%2e", ".").contains("..")
                    }) && longest.is_none_or(|most| text.chars().count() <= usize::from(most))
                }
                (Demand::Number { least, most }, Some(Argument::Integer(number))) => {
                    least.is_none_or(|least| *number >= i64::from(least))
                        && most.is_none_or(|most| *number <= i64::from(most))
                }
                _ => false,
            };
            self.need(good, format_args!("tool.{name}.arguments.{argument}"));
        }
        let told = used.labels.0.iter().filter_map(class).filter_map(|class| tool.labels[class]);
        let (refused, asked) = told.fold((false, false), |(r, a), harsh| (r | harsh, a | !harsh));
        self.need(!refused, format_args!("tool.{name}.labels"));
        self.ask_if(asked && !refused, format_args!("tool.{name}.labels"));
    }
}
