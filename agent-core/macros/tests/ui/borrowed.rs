use marque_macros::tool;

struct Cx;

/// Weather.
#[tool]
async fn weather(cx: &Cx, city: &str) -> Result<String, std::io::Error> {
    Ok(city.to_owned())
}

fn main() {}
