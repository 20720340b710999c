#[marque_macros::main]
async fn main(cx: u8) -> Result<(), std::io::Error> {
    Ok(())
}
