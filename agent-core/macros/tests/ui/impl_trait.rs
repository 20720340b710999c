use marque_macros::tool;

struct Cx;

/// The weather.
#[tool]
async fn weather(cx: &Cx, city: impl AsRef<str>) -> Result<String, std::io::Error> {
    Ok(String::new())
}

fn main() {}
