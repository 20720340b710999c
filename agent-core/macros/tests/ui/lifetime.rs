use marque_macros::tool;

struct Cx;

/// The weather.
#[tool]
async fn weather<'a>(cx: &'a Cx, city: String) -> Result<String, std::io::Error> {
    Ok(city)
}

fn main() {}
