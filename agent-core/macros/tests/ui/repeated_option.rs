use marque_macros::tool;

struct Cx;

#[tool(description = "the weather", description = "the wind")]
async fn weather(cx: &Cx, city: String) -> Result<String, std::io::Error> {
    Ok(city)
}

fn main() {}
