#[marque_macros::main]
async fn main<T>() -> Result<(), std::io::Error> {
    Ok(())
}
