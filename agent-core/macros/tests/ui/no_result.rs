use marque_macros::tool;

struct Cx;

/// Weather.
#[tool]
async fn weather(cx: &Cx, city: String) {}

fn main() {}
