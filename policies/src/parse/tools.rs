//! `[[tool]]`: what may be used, which hosts it may reach, how often, and how much may leave.

use super::{
    distinct,
    section::{Section, check_name},
    units::{read_bytes, read_rate},
};
use crate::{document::Tool, error::PolicyError, host::Host};
use std::collections::BTreeMap;

pub(super) fn tools(root: &Section<'_>) -> Result<BTreeMap<String, Tool>, PolicyError> {
    let mut tools = BTreeMap::new();
    for mut section in root.list("tool")? {
        let help = "write the tool's name: name = \"fetch\"";
        let name = section.text("name")?.ok_or_else(|| section.missing("name", help))?;
        check_name(root.source, &name)?;
        distinct(root, &name.span, name.value, tools.keys())?;
        section.path = format!("tool.{}", name.value);
        section.only(&["name", "hosts", "rate", "sends"])?;
        let tool = Tool {
            hosts: hosts(&section)?,
            rate: rate(
                &section,
                "rate",
                read_rate,
                "write it as in \"60/min\": /s, /min, /h, /day",
            )?,
            sends: rate(
                &section,
                "sends",
                read_bytes,
                "write it as in \"64 KiB/day\": B, KiB, MiB or GiB, and /s, /min, /h or /day",
            )?,
            ..Tool::default()
        };
        tools.insert(name.value.to_owned(), tool);
    }
    Ok(tools)
}

fn hosts(section: &Section<'_>) -> Result<Vec<String>, PolicyError> {
    let hosts = section.texts("hosts")?.unwrap_or_default();
    let read = hosts.into_iter().map(|text| {
        Host::read_pattern(text.value).ok_or_else(|| {
            let message = format!("\"{}\" is no host", text.value.escape_debug());
            let help = "write host, host:port, or `*.` before a name, without `https://` and path";
            section.source.meaning(text.span, message, help)
        })
    });
    read.collect()
}

fn rate(
    section: &Section<'_>,
    key: &str,
    read: impl FnOnce(&str) -> Option<(u64, u64)>,
    help: &str,
) -> Result<Option<(u64, u64)>, PolicyError> {
    let Some(text) = section.text(key)? else { return Ok(None) };
    match read(text.value) {
        Some(rate) => Ok(Some(rate)),
        None => {
            let message = format!("`{key}` cannot be \"{}\"", text.value.escape_debug());
            Err(section.source.meaning(text.span, message, help))
        }
    }
}
