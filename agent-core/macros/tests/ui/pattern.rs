use marque_macros::tool;

struct Cx;

/// The weather.
#[tool]
async fn weather(cx: &Cx, (city, day): (String, u8)) -> Result<String, std::io::Error> {
    Ok(city)
}

fn main() {}
