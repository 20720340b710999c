use marque_macros::tool;

struct Cx;

/// Weather.
#[tool]
async fn weather<T>(cx: &Cx, city: T) -> Result<T, std::io::Error> {
    Ok(city)
}

fn main() {}
