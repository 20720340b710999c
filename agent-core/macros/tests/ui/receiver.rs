use marque_macros::tool;

struct Feed;

impl Feed {
    /// Weather.
    #[tool]
    async fn weather(&self, city: String) -> Result<String, std::io::Error> {
        Ok(city)
    }
}

fn main() {}
