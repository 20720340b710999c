use marque_macros::tool;

struct Cx;

/// The weather.
#[tool]
struct Weather;

fn main() {}
