//! Checking a payment, without the chain.

pub(crate) async fn measure() {}
