//! What an endpoint, a token and an address say of themselves: for looking at a set-up, not for
//! paying.
//!
//! Nothing here decides anything. A token's own words about its name and version, above all, are for
//! people: what binds a signature is the separator that they hash to.

use crate::{BlockTag, IdentityError, Rpc};
use alloy_primitives::{Address, B256, Bytes, FixedBytes, U64, fixed_bytes};
use marque_contracts::{IERC20, IERC3009, IdentityRegistry, TestDollar};
use serde_json::{Value, json};

/// ERC-165's name for ERC-721.
const ERC721: FixedBytes<4> = fixed_bytes!("0x80ac58cd");

/// What a token says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFacts {
    /// Digits after the point.
    pub decimals: u8,
    /// A short name, not unique.
    pub symbol: Option<String>,
    /// The name, which often is that of the signing domain.
    pub name: Option<String>,
    /// The signing domain's version.
    pub version: Option<String>,
    /// The separator that authorisations are signed under; `None` where it does not tell.
    pub separator: Option<B256>,
    /// Whether it knows authorisations (EIP-3009).
    pub authorisations: bool,
}

impl Rpc {
    /// The code at an address, empty where there is no contract.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub async fn code(&self, at: Address) -> Result<Bytes, IdentityError> {
        self.ask("eth_getCode", json!([at, "latest"])).await
    }

    /// Whether the node is still catching up with its chain.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub async fn syncing(&self) -> Result<bool, IdentityError> {
        let answer: Value = self.ask("eth_syncing", json!([])).await?;
        Ok(answer != json!(false))
    }

    /// Digits after the point, as the token at an address says.
    ///
    /// # Errors
    /// As [`Self::token_facts`].
    pub async fn decimals(&self, token: Address) -> Result<u8, IdentityError> {
        self.view("decimals", token, IERC20::decimalsCall {}).await
    }

    /// What the token at an address says of itself.
    ///
    /// # Errors
    /// [`IdentityError::Answer`] where there is no ERC-20 token, [`IdentityError::Unreachable`] where
    /// nobody answers. What a token does not tell is `None`.
    pub async fn token_facts(&self, token: Address) -> Result<TokenFacts, IdentityError> {
        let decimals = self.decimals(token).await?;
        let symbol = told(self.view("symbol", token, IERC20::symbolCall {}).await)?;
        let name = told(self.view("name", token, TestDollar::nameCall {}).await)?;
        let version = told(self.view("version", token, TestDollar::versionCall {}).await)?;
        let separator = self.view("DOMAIN_SEPARATOR", token, IERC3009::DOMAIN_SEPARATORCall {});
        let separator = told(separator.await)?;
        let state = self.authorization_state(token, Address::ZERO, B256::ZERO).await;
        let authorisations = told(state)?.is_some();
        Ok(TokenFacts { decimals, symbol, name, version, separator, authorisations })
    }

    /// Whether the contract at an address keeps ERC-721 tokens, as every identity registry does.
    ///
    /// # Errors
    /// [`IdentityError::Unreachable`] where nobody answers.
    pub async fn is_registry(&self, at: Address) -> Result<bool, IdentityError> {
        let call = IdentityRegistry::supportsInterfaceCall { interfaceId: ERC721 };
        Ok(told(self.view("supportsInterface", at, call).await)?.unwrap_or(false))
    }

    /// Asks for the logs of one contract in the newest `blocks` blocks, as a start does.
    ///
    /// # Errors
    /// [`IdentityError::Refused`] where the node gives no logs of so many blocks at once.
    pub async fn logs_over(&self, contract: Address, blocks: u64) -> Result<(), IdentityError> {
        let newest = self.block_number().await?;
        let from = U64::from(newest.saturating_sub(blocks));
        let filter = json!({ "address": contract, "fromBlock": from, "toBlock": "latest",
            "topics": [B256::ZERO] });
        self.ask::<Value>("eth_getLogs", json!([filter])).await.map(drop)
    }

    /// Asks for the state of an older block, as the end of a payment does.
    ///
    /// # Errors
    /// [`IdentityError::Refused`] where the node has forgotten it.
    pub async fn state_at(&self, contract: Address, block: u64) -> Result<(), IdentityError> {
        let data = Bytes::new();
        match self.call_at(None, contract, data, BlockTag::Number(block)).await {
            // The contract itself refuses an empty call; it was run all the same.
            Ok(_) | Err(IdentityError::Reverted { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// What was told, `None` where the contract has no such word.
fn told<T>(answer: Result<T, IdentityError>) -> Result<Option<T>, IdentityError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(IdentityError::Answer { .. } | IdentityError::Reverted { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
