//! The files of one folder: listed for nothing, each sold by its own path.
//!
//! INVARIANT: nothing outside the folder, and nothing in it whose name begins with a dot, is listed or
//! served, whatever a path or a link says (pinned by the tests below).

use crate::failure::{Done, Failure};
use axum::{
    Json,
    body::Body,
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use std::{
    fs,
    path::{Component, Path, PathBuf},
};

/// The longest file that is sold, in bytes.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// Entries of a listing, at most.
const MAX_LISTED: usize = 10_000;

/// A folder whose files are sold.
#[derive(Debug)]
pub(super) struct Folder {
    /// Without links.
    root: PathBuf,
    price: String,
}

/// Why a path is not sold.
type Unsold = (StatusCode, &'static str);

const NOT_THERE: Unsold = (StatusCode::NOT_FOUND, "there is no such file");

impl Folder {
    pub(super) fn open(dir: &Path, price: &str) -> Done<Self> {
        let root = dir
            .canonicalize()
            .map_err(|error| Failure::usage(format!("{}: {error}", dir.display())))?;
        Ok(Self { root, price: price.to_owned() })
    }

    /// The file or folder that a path names, if it is inside and nothing on the way is hidden.
    fn find(&self, path: &str) -> Option<PathBuf> {
        let mut found = self.root.clone();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let name = decoded(part)?;
            if name.starts_with('.') || name.contains(['/', '\\', '\0']) {
                return None;
            }
            found.push(name);
        }
        // Where a link leads is what counts, and it may lead nowhere else and to nothing hidden.
        let real = found.canonicalize().ok()?;
        let inside = real.strip_prefix(&self.root).ok()?;
        let shown = inside.components().all(|part| match part {
            Component::Normal(name) => !name.to_string_lossy().starts_with('.'),
            _ => false,
        });
        shown.then_some(real)
    }

    /// Whether a path names a file that is sold.
    pub(super) fn sellable(&self, path: &str) -> Result<(), Unsold> {
        let found = self.find(path).ok_or(NOT_THERE)?;
        sold(&fs::metadata(found).map_err(|_| NOT_THERE)?)
    }

    /// The file that a path names.
    pub(super) async fn file(&self, path: &str) -> Response {
        if let Err(unsold) = self.sellable(path) {
            return unsold.into_response();
        }
        let Some(found) = self.find(path) else { return NOT_THERE.into_response() };
        match tokio::fs::read(&found).await {
            Ok(bytes) => {
                let kind = [(header::CONTENT_TYPE, media(&found))];
                (kind, Body::from(bytes)).into_response()
            }
            Err(error) => {
                tracing::error!(path = %found.display(), %error, "a file cannot be read");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }

    /// What lies in the folder that a path names, if it names one.
    pub(super) async fn listing(&self, path: &str, headers: &HeaderMap) -> Option<Response> {
        let found = self.find(path)?;
        let mut names = Vec::new();
        for entry in fs::read_dir(&found).ok()?.flatten().take(MAX_LISTED) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let place = format!("{}/{}", path.trim_end_matches('/'), encoded(&name));
            let Some(about) = self.find(&place).and_then(|real| fs::metadata(real).ok()) else {
                continue;
            };
            if about.is_dir() || sold(&about).is_ok() {
                names.push((name, place, about.is_dir(), about.len()));
            }
        }
        names.sort();
        let wants_json = headers
            .get(header::ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains("application/json"));
        Some(if wants_json {
            let files = names.iter().map(|(name, place, is_folder, bytes)| {
                if *is_folder {
                    serde_json::json!({ "name": name, "path": format!("{place}/"), "folder": true })
                } else {
                    serde_json::json!({
                        "name": name, "path": place, "bytes": bytes, "price": self.price,
                    })
                }
            });
            Json(serde_json::json!({ "files": files.collect::<Vec<_>>() })).into_response()
        } else {
            let rows: String = names
                .iter()
                .map(|(name, place, is_folder, bytes)| {
                    let (place, name) = (escaped(place), escaped(name));
                    if *is_folder {
                        format!("<li><a href=\"{place}/\">{name}/</a></li>\n")
                    } else {
                        let price = escaped(&self.price);
                        format!("<li><a href=\"{place}\">{name}</a>, {bytes} bytes, {price}</li>\n")
                    }
                })
                .collect();
            let title = escaped(path);
            Html(format!(
                "<!doctype html>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
                 <h1>{title}</h1>\n<p>Each file is paid for by x402, version 2.</p>\n<ul>\n{rows}</ul>\n"
            ))
            .into_response()
        })
    }
}

/// Whether something of that kind and size is sold.
fn sold(about: &fs::Metadata) -> Result<(), Unsold> {
    if !about.is_file() {
        return Err(NOT_THERE);
    }
    if about.len() > MAX_FILE {
        return Err((StatusCode::PAYLOAD_TOO_LARGE, "the file is longer than 16 MiB"));
    }
    Ok(())
}

/// A part of a path without its percent signs; `None` for what is no text.
fn decoded(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// A file's name as a part of a path.
fn encoded(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn media(path: &Path) -> &'static str {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    match ending.to_ascii_lowercase().as_str() {
        "csv" => "text/csv",
        "txt" | "md" => "text/plain; charset=utf-8",
        "html" | "htm" => "text/html; charset=utf-8",
        "json" => "application/json",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[tokio::test]
    async fn nothing_outside_the_folder_and_nothing_hidden_is_sold_or_listed() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("shop");
        for folder in ["data", ".git"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for file in ["a b.csv", "data/c.csv", ".env", ".git/config", "../secret", "x%2Fy"] {
            fs::write(root.join(file), "14.2").unwrap();
        }
        symlink(place.path().join("secret"), root.join("out")).unwrap();
        symlink(place.path(), root.join("up")).unwrap();
        symlink(root.join(".env"), root.join("env")).unwrap();
        symlink(root.join("data/c.csv"), root.join("link.csv")).unwrap();
        fs::File::create(root.join("long")).unwrap().set_len(MAX_FILE + 1).unwrap();
        drop(std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap());
        let shop = Folder::open(&root, "0.01 USDC").unwrap();
        for sold in ["/a%20b.csv", "/data/c.csv", "//data//c.csv", "/link.csv", "/x%252Fy"] {
            assert_eq!(shop.sellable(sold), Ok(()), "{sold}");
        }
        for not in [
            "/",
            "/data",
            "/data/",
            "/none",
            "/long",
            "/socket",
            "/.env",
            "/.git/config",
            "/env",
            "/out",
            "/up/secret",
            "/../secret",
            "/data/../../secret",
            "/%2e%2e/secret",
            "/data/%2e%2e/%2e%2e/secret",
            "/..%2fsecret",
            "/data%2fc.csv",
            "/%2eenv",
            "/a b.csv%00",
            "/%zz",
            "/%",
            "/..\\secret",
            "/data/..",
            "/./a%20b.csv",
        ] {
            assert!(shop.sellable(not).is_err(), "{not}");
            assert!(!shop.file(not).await.status().is_success(), "{not}");
        }
        let list = shop.listing("/", &HeaderMap::new()).await.unwrap();
        let body = axum::body::to_bytes(list.into_body(), 65_536).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        for shown in ["/a%20b.csv", "/data/", "/link.csv", "0.01 USDC"] {
            assert!(text.contains(shown), "{shown}: {text}");
        }
        for hidden in [".env", ".git", "secret", ">out<", ">up", ">env<", "long", "socket"] {
            assert!(!text.contains(hidden), "{hidden}: {text}");
        }
        for none in ["/.git/", "/up/", "/../", "/a%20b.csv"] {
            assert!(shop.listing(none, &HeaderMap::new()).await.is_none(), "{none}");
        }
    }
}
