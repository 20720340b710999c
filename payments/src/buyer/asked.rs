//! What was asked for, and of whom: what a seller's terms are held against.
//!
//! A 402 says by itself what it sells. Whoever asked knows better: the URL of the request, the tool
//! that was called, the agent that was spoken to. Nothing that the seller wrote goes in here.

use crate::error::{Objection, Rule, shortened};
use marque_net::host_port;
use url::Url;

/// What was asked for, and of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    host: String,
    goods: Goods,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Goods {
    /// Exactly this.
    Url(Url),
    /// One of the names under which MCP servers sell this tool.
    Tool(String),
    /// Whatever the host sells under its own name: an agent's answer has no URL.
    OnHost,
}

impl Asked {
    /// The resource at a URL, over HTTP.
    #[must_use]
    pub fn url(url: &Url) -> Self {
        Self { host: host_port(url), goods: Goods::Url(without_fragment(url)) }
    }

    /// A tool of the MCP server at a URL: sold as `mcp://tool/NAME`, or as `mcp://HOST/...NAME`.
    #[must_use]
    pub fn tool(server: &Url, name: impl Into<String>) -> Self {
        Self { host: host_port(server), goods: Goods::Tool(name.into()) }
    }

    /// The work of the agent at a URL, over A2A: sold under any URL of its own host.
    #[must_use]
    pub fn agent(server: &Url) -> Self {
        Self { host: host_port(server), goods: Goods::OnHost }
    }

    /// Who was asked, as a policy names hosts.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// What is sold, if it is what was asked for. Fragments are nobody's business.
    ///
    /// # Errors
    /// An [`Objection`] to the resource.
    pub(super) fn sold(&self, said: &str) -> Result<Url, Objection> {
        let objection = |why| Err(Objection::new(Rule::Resource, why));
        let Ok(sold) = Url::parse(said) else {
            return objection(format!("\"{}\" is not a URL", shortened(said)));
        };
        let sold = without_fragment(&sold);
        if !sold.username().is_empty() || sold.password().is_some() {
            return objection("its URL carries a user name or password".to_owned());
        }
        let by_tool = matches!(self.goods, Goods::Tool(_)) && sold.host_str() == Some("tool");
        if host_port(&sold) != self.host && !by_tool {
            let host = shortened(&host_port(&sold));
            return objection(format!("{} asks for money for {host}", self.host));
        }
        let agrees = match &self.goods {
            Goods::Url(url) => sold == *url,
            Goods::Tool(name) => sold.scheme() == "mcp" && is_tool(&sold, name),
            Goods::OnHost => matches!(sold.scheme(), "http" | "https"),
        };
        if agrees {
            return Ok(sold);
        }
        let asked = match &self.goods {
            Goods::Url(url) => shortened(url.as_str()),
            Goods::Tool(name) => format!("the tool {}", shortened(name)),
            Goods::OnHost => "the agent's work".to_owned(),
        };
        objection(format!("asked for {asked}, offered {}", shortened(sold.as_str())))
    }
}

/// Whether the last segment of the path is the tool's name, plainly or percent-encoded.
fn is_tool(sold: &Url, name: &str) -> bool {
    let plain = sold.query().is_none();
    // Encoded by the same rules as what was parsed.
    let mut wanted = sold.clone();
    let last = sold.path_segments().and_then(|mut segments| segments.next_back());
    let Ok(mut segments) = wanted.path_segments_mut() else { return false };
    segments.pop().push(name);
    drop(segments);
    plain && !name.is_empty() && last.is_some() && *sold == wanted
}

fn without_fragment(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_fragment(None);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn a_url_is_itself_whatever_its_fragment() {
        let asked = Asked::url(&url("https://feed.example/a?b=c#d"));
        assert_eq!(asked.host(), "feed.example");
        assert_eq!(asked.sold("https://feed.example/a?b=c#e").unwrap().fragment(), None);
        for other in [
            "https://feed.example/a",
            "https://feed.example/a?b=d",
            "http://feed.example/a?b=c",
            "https://feed.example:8443/a?b=c",
            "https://other.example/a?b=c",
            "https://user@feed.example/a?b=c",
            "/a?b=c",
            "",
        ] {
            assert_eq!(asked.sold(other).unwrap_err().rule, Rule::Resource, "{other}");
        }
    }

    #[test]
    fn a_tool_is_known_by_its_name_and_its_server() {
        let asked = Asked::tool(&url("https://mcp.example/v1"), "financial_analysis");
        for said in [
            "mcp://tool/financial_analysis",
            "mcp://mcp.example/financial_analysis",
            "mcp://mcp.example/tools/financial_analysis",
        ] {
            assert!(asked.sold(said).is_ok(), "{said}");
        }
        for said in [
            "mcp://tool/other",
            "mcp://tool/financial_analysis/other",
            "mcp://tool/financial_analysis?a",
            "mcp://other.example/tools/financial_analysis",
            "https://mcp.example/financial_analysis",
            "mcp:financial_analysis",
            "mcp://tool/",
        ] {
            assert!(asked.sold(said).is_err(), "{said}");
        }
        assert!(Asked::tool(&url("https://mcp.example"), "").sold("mcp://tool/").is_err());
        let spaced = Asked::tool(&url("https://mcp.example"), "a b");
        assert!(spaced.sold("mcp://tool/a%20b").is_ok());
    }

    #[test]
    fn an_agent_sells_under_its_own_host() {
        let asked = Asked::agent(&url("https://agent.example/a2a"));
        assert!(asked.sold("https://agent.example/generate-image").is_ok());
        for said in ["https://other.example/generate-image", "mcp://agent.example/x", "x"] {
            assert!(asked.sold(said).is_err(), "{said}");
        }
    }
}
