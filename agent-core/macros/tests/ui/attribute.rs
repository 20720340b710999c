use marque_macros::tool;

struct Cx;

/// The weather.
#[tool]
async fn weather(cx: &Cx, #[range(1..=7)] days: u8) -> Result<u8, std::io::Error> {
    Ok(days)
}

fn main() {}
