use marque_macros::tool;

struct Cx;

/// The end.
#[tool]
async fn finish(cx: &Cx, answer: String) -> Result<String, std::io::Error> {
    Ok(answer)
}

fn main() {}
