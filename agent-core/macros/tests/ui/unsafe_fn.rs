use marque_macros::tool;

struct Cx;

/// The weather.
#[tool]
async unsafe fn weather(cx: &Cx, city: String) -> Result<String, std::io::Error> {
    Ok(city)
}

fn main() {}
