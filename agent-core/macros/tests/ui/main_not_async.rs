#[marque_macros::main]
fn main() -> Result<(), std::io::Error> {
    Ok(())
}
