use marque_macros::tool;

struct Cx;

/// Weather.
#[tool]
fn weather(cx: &Cx, city: String) -> Result<String, std::io::Error> {
    Ok(city)
}

fn main() {}
