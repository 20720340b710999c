//! The registration file of ERC-8004: what an agent says of itself, where its id points to.
//!
//! A card is written by a stranger and read by a program that spends money and by a person at a
//! terminal. So it is bounded, of one type, and without control characters; and it is only ever a
//! claim: who is paid follows from the registry, never from the card.

use alloy_primitives::Address;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

/// The `type` of a registration file.
pub const TYPE: &str = "https://eips.ethereum.org/EIPS/eip-8004#registration-v1";

/// The longest file that is read, in bytes of JSON.
pub const MAX_BYTES: usize = 64 * 1024;

const DATA_URI: &str = "data:application/json;base64,";
const MAX_ENTRIES: usize = 64;
const MAX_NAME: usize = 128;
const MAX_TEXT: usize = 8 * 1024;

/// A registration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Card {
    /// Always [`TYPE`].
    #[serde(rename = "type")]
    kind: Kind,
    /// What the agent is called.
    pub name: String,
    /// What it does.
    pub description: String,
    /// URL of a picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Where it is reached.
    #[serde(default, alias = "endpoints")]
    pub services: Vec<Service>,
    /// Whether it takes x402 payments.
    #[serde(default, rename = "x402Support")]
    pub x402_support: bool,
    /// Whether it is in business.
    #[serde(default)]
    pub active: bool,
    /// Under which ids it is registered.
    #[serde(default)]
    pub registrations: Vec<Registration>,
    /// How it can be trusted: `reputation`, `crypto-economic`, `tee-attestation`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supported_trust: Vec<String>,
}

/// One way to reach an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// What is spoken there: `web`, `A2A`, `MCP`, ...
    pub name: String,
    /// Where: usually a URL.
    pub endpoint: String,
    /// Which version of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// One registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Registration {
    /// The agent id.
    pub agent_id: u64,
    /// CAIP-10 style: `eip155:<chain id>:<registry address>`.
    pub agent_registry: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    #[serde(rename = "https://eips.ethereum.org/EIPS/eip-8004#registration-v1")]
    RegistrationV1,
}

/// Why a registration file is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CardError {
    /// Too long.
    #[error("the registration file is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// Not a data URI of JSON.
    #[error("the registration file is not a \"{DATA_URI}\" URI")]
    NotDataUri,
    /// The data URI's payload is not base64.
    #[error("the registration file's data URI is not base64")]
    NotBase64,
    /// Not JSON of a registration file.
    #[error("the registration file cannot be read: {0}")]
    Unreadable(String),
    /// A field holds too much, or what would garble a terminal.
    #[error("the registration file's {field} {why}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl Card {
    /// A card of an active agent without services.
    #[must_use]
    pub fn new(name: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            kind: Kind::RegistrationV1,
            name: name.into(),
            description: description.into(),
            image: None,
            services: Vec::new(),
            x402_support: false,
            active: true,
            registrations: Vec::new(),
            supported_trust: Vec::new(),
        }
    }

    /// Reads a card from JSON. Fields that ERC-8004 does not name are skipped.
    ///
    /// # Errors
    /// [`CardError`] for anything that is no registration file within the bounds.
    pub fn from_json(json: &[u8]) -> Result<Self, CardError> {
        if json.len() > MAX_BYTES {
            return Err(CardError::TooLong);
        }
        let card: Self = serde_json::from_slice(json)
            .map_err(|error| CardError::Unreadable(error.to_string()))?;
        card.check()?;
        Ok(card)
    }

    /// Writes the card as JSON.
    ///
    /// # Errors
    /// [`CardError`] where others would refuse to read it.
    pub fn to_json(&self) -> Result<String, CardError> {
        self.check()?;
        let json = serde_json::to_string(self)
            .map_err(|error| CardError::Unreadable(error.to_string()))?;
        if json.len() > MAX_BYTES { Err(CardError::TooLong) } else { Ok(json) }
    }

    /// Reads a card from a `data:application/json;base64,` URI.
    ///
    /// # Errors
    /// [`CardError`].
    pub fn from_data_uri(uri: &str) -> Result<Self, CardError> {
        let payload = uri.strip_prefix(DATA_URI).ok_or(CardError::NotDataUri)?;
        if payload.len() > MAX_BYTES.div_ceil(3) * 4 {
            return Err(CardError::TooLong);
        }
        Self::from_json(&STANDARD.decode(payload).map_err(|_| CardError::NotBase64)?)
    }

    /// Writes the card as a `data:application/json;base64,` URI, to be stored on chain whole.
    ///
    /// # Errors
    /// [`CardError`] where others would refuse to read it.
    pub fn to_data_uri(&self) -> Result<String, CardError> {
        Ok(format!("{DATA_URI}{}", STANDARD.encode(self.to_json()?)))
    }

    /// Whether the card claims this registration. A card that does not, does not belong to the id
    /// that pointed to it.
    #[must_use]
    pub fn claims(&self, chain: u64, registry: Address, agent_id: u64) -> bool {
        let claimed = Registration::new(chain, registry, agent_id);
        self.registrations.iter().any(|registration| {
            registration.agent_id == agent_id
                && registration.agent_registry.eq_ignore_ascii_case(&claimed.agent_registry)
        })
    }

    fn check(&self) -> Result<(), CardError> {
        line("name", &self.name, MAX_NAME)?;
        if self.name.is_empty() {
            return Err(CardError::Field { field: "name", why: "is empty" });
        }
        text("description", &self.description)?;
        line("image", self.image.as_deref().unwrap_or_default(), MAX_TEXT)?;
        few("services", self.services.len())?;
        for service in &self.services {
            line("services", &service.name, MAX_NAME)?;
            line("services", &service.endpoint, MAX_TEXT)?;
            line("services", service.version.as_deref().unwrap_or_default(), MAX_NAME)?;
        }
        few("registrations", self.registrations.len())?;
        for registration in &self.registrations {
            line("registrations", &registration.agent_registry, MAX_NAME)?;
        }
        few("supportedTrust", self.supported_trust.len())?;
        self.supported_trust.iter().try_for_each(|trust| line("supportedTrust", trust, MAX_NAME))
    }
}

impl Registration {
    /// The registration of `agent_id` in `registry` on the chain with this EIP-155 id.
    #[must_use]
    pub fn new(chain: u64, registry: Address, agent_id: u64) -> Self {
        Self { agent_id, agent_registry: format!("eip155:{chain}:{registry}") }
    }
}

fn few(field: &'static str, entries: usize) -> Result<(), CardError> {
    if entries > MAX_ENTRIES {
        return Err(CardError::Field { field, why: "has more than 64 entries" });
    }
    Ok(())
}

/// One line of text without anything that a terminal would act on.
fn line(field: &'static str, value: &str, longest: usize) -> Result<(), CardError> {
    if value.len() > longest {
        return Err(CardError::Field { field, why: "is too long" });
    }
    if value.chars().any(|c| c.is_control() || is_bidi_control(c)) {
        return Err(CardError::Field { field, why: "holds control characters" });
    }
    Ok(())
}

/// As [`line()`], with line breaks and tabs.
fn text(field: &'static str, value: &str) -> Result<(), CardError> {
    if value.len() > MAX_TEXT {
        return Err(CardError::Field { field, why: "is too long" });
    }
    value.split(['\n', '\t', '\r']).try_for_each(|part| line(field, part, MAX_TEXT))
}

/// Characters that make a terminal show text in another order than it is written.
const fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::address;

    const REGISTRY: Address = address!("8004A818BFB912233c491871b3d84c89A494BD9e");

    fn card() -> Card {
        let mut card = Card::new("feed", "Sells weather.\nBy the hour.");
        card.x402_support = true;
        card.services.push(Service {
            name: "web".to_owned(),
            endpoint: "https://feed.example/".to_owned(),
            version: None,
        });
        card.registrations.push(Registration::new(84532, REGISTRY, 22));
        card
    }

    #[test]
    fn a_card_survives_the_chain() {
        assert_eq!(Card::from_data_uri(&card().to_data_uri().unwrap()), Ok(card()));
    }

    #[test]
    fn the_fields_are_named_as_the_standard_names_them() {
        let json: serde_json::Value = serde_json::from_str(&card().to_json().unwrap()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "type": TYPE,
                "name": "feed",
                "description": "Sells weather.\nBy the hour.",
                "services": [{ "name": "web", "endpoint": "https://feed.example/" }],
                "x402Support": true,
                "active": true,
                "registrations": [{
                    "agentId": 22,
                    "agentRegistry": format!("eip155:84532:{REGISTRY}"),
                }],
            })
        );
    }

    #[test]
    fn a_card_belongs_to_the_ids_that_it_claims() {
        assert!(card().claims(84532, REGISTRY, 22));
        assert!(!card().claims(84532, REGISTRY, 23));
        assert!(!card().claims(1, REGISTRY, 22));
        assert!(!card().claims(84532, Address::ZERO, 22));
    }

    #[test]
    fn what_is_no_card_is_refused() {
        let with = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut json = serde_json::to_value(card()).unwrap();
            change(&mut json);
            Card::from_json(json.to_string().as_bytes())
        };
        assert_eq!(with(&|_| ()), Ok(card()));
        assert!(with(&|json| json["type"] = "other".into()).is_err());
        assert!(with(&|json| json["name"] = "".into()).is_err());
        assert!(with(&|json| json["name"] = "n".repeat(129).into()).is_err());
        assert!(with(&|json| json["name"] = "\u{1b}[2J".into()).is_err());
        assert!(with(&|json| json["name"] = "\u{202e}deef".into()).is_err());
        assert!(with(&|json| json["description"] = "\u{7}".into()).is_err());
        assert!(with(&|json| json["services"] = serde_json::json!([{"name": "web"}])).is_err());
        assert!(with(&|json| json["x402Support"] = "yes".into()).is_err());
        assert!(with(&|json| json["registrations"][0]["agentId"] = (-1).into()).is_err());
        let many = serde_json::json!(vec!["reputation"; 65]);
        assert!(with(&|json| json["supportedTrust"] = many.clone()).is_err());
        assert_eq!(Card::from_json(&vec![b' '; MAX_BYTES + 1]), Err(CardError::TooLong));
        assert_eq!(Card::from_data_uri("https://feed.example/card"), Err(CardError::NotDataUri));
        assert_eq!(Card::from_data_uri(&format!("{DATA_URI}!")), Err(CardError::NotBase64));
        let long = format!("{DATA_URI}{}", "A".repeat(2 * MAX_BYTES));
        assert_eq!(Card::from_data_uri(&long), Err(CardError::TooLong));
    }
}
