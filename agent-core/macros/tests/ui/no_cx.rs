use marque_macros::tool;

/// Weather.
#[tool]
async fn weather(city: String) -> Result<String, std::io::Error> {
    Ok(city)
}

fn main() {}
