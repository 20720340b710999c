#[marque_macros::main]
async fn main() {}
