use marque_macros::tool;

struct Cx;

#[tool(description = "the weather\nof a city")]
async fn weather(cx: &Cx, city: String) -> Result<String, std::io::Error> {
    Ok(city)
}

fn main() {}
