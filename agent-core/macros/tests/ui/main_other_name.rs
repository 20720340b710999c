#[marque_macros::main]
async fn start() -> Result<(), std::io::Error> {
    Ok(())
}
