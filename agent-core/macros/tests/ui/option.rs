use marque_macros::tool;

struct Cx;

/// Weather.
#[tool(spends = "0.05 USDC")]
async fn weather(cx: &Cx, city: String) -> Result<String, std::io::Error> {
    Ok(city)
}

fn main() {}
