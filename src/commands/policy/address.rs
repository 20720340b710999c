//! Addresses as people give them: `0x`, 40 hex digits, and a checksum where there are capitals.

use alloy_primitives::Address;

/// Reads the address of `whose`.
pub(super) fn read(whose: &str, text: &str) -> Result<Address, String> {
    let digits = text.strip_prefix("0x").unwrap_or_default();
    let shaped = digits.len() == 40 && digits.chars().all(|c| c.is_ascii_hexdigit());
    let wrong = || format!("{whose}'s address is not 0x and 40 hex digits: \"{text}\"");
    let address: Address = if shaped { text.parse().map_err(|_| wrong())? } else { Err(wrong())? };
    // EIP-55: one case throughout carries no checksum, a mixture of both does.
    let has = |wanted: fn(&char) -> bool| digits.chars().any(|c| wanted(&c));
    let mixed = has(char::is_ascii_lowercase) && has(char::is_ascii_uppercase);
    if mixed && address.to_checksum(None) != text {
        return Err(format!(
            "{whose}'s address has a wrong checksum; copy it again from its source"
        ));
    }
    Ok(address)
}

/// The owner's, for the command line.
pub(crate) fn owner(text: &str) -> Result<Address, String> {
    read("the owner", text)
}

/// An account's, for the command line.
pub(crate) fn account(text: &str) -> Result<Address, String> {
    read("the account", text)
}

/// The token's, for the command line.
pub(super) fn token(text: &str) -> Result<Address, String> {
    read("the token", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capitals_are_a_checksum_and_must_be_right() {
        const RIGHT: &str = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359";
        let lower = RIGHT.to_lowercase();
        let upper = RIGHT.to_uppercase().replace("0X", "0x");
        for good in [RIGHT, &lower, &upper] {
            assert_eq!(read("feed", good).unwrap().to_string(), RIGHT);
        }
        let swapped = RIGHT.replace("fB6", "Fb6");
        assert!(read("feed", &swapped).unwrap_err().contains("wrong checksum"));
        let (short, bare) = (RIGHT.trim_end_matches('9'), RIGHT.trim_start_matches("0x"));
        for wrong in [short, bare, "0x", "", &format!("{RIGHT}0"), "feed.eth"] {
            assert!(read("feed", wrong).unwrap_err().contains("40 hex digits"), "{wrong}");
        }
    }
}
