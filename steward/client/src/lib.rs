//! The protocol between mind and steward, and the client that the mind links. Nothing that signs.
//!
//! [`protocol`] says what may cross the wall, [`frame`] how it is cut into frames, and [`Client`]
//! asks. A mind that holds a [`Client`] can propose, look and stop, and nothing else.

mod client;
pub mod door;
mod error;
pub mod frame;
mod link;
pub mod protocol;
mod view;

pub use client::Client;
pub use error::ClientError;
pub use protocol::*;
pub use view::*;

/// JSON Schemas of a question and an answer, for other languages and for fuzzing.
///
/// The object has the keys `v`, `request` and `response`.
#[must_use]
pub fn schema() -> serde_json::Value {
    serde_json::json!({
        "v": VERSION,
        "request": schemars::schema_for!(Request),
        "response": schemars::schema_for!(Response),
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    /// Other languages and fuzzers read the file. After a change on purpose:
    /// `MARQUE_BLESS=1 cargo test -p marque-steward-client`.
    #[test]
    fn the_published_schema_is_the_one_that_is_spoken() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/protocol.schema.json");
        if std::env::var_os("MARQUE_BLESS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let spoken = serde_json::to_string_pretty(&super::schema()).unwrap() + "\n";
            fs::write(&path, spoken).unwrap();
        }
        // Not as text: the order of keys is nobody's promise.
        let published: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        assert!(published == super::schema(), "{} is not what is spoken", path.display());
    }
}
