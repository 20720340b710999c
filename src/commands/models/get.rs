//! `marque models get`: a model file from the web, whole and the one that was meant, or not at all.
//!
//! What arrives lies in `FILE.part` until all of it is there and its hash is the one that was asked
//! for; only then it gets its name. What broke off goes on where it stopped, as long as the server
//! still has the same file: `FILE.part.json` remembers which that was. Servers are not trusted with
//! more than time and disk: the hash decides.

use super::{Progress, Shared};
use crate::{
    failure::{Context as _, Done, Failure},
    story::{bytes, say},
};
use marque::process::told_to_stop;
use marque_net::{Client, Guard, NetError, Request, Stream, header, host_port};
use part::Part;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};
use url::Url;

mod part;

/// A server that gives nothing for so long is asked again.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a broken connection is taken up again without a byte more.
const TRIES: u32 = 3;
/// The largest file that is taken where nobody says more, in GiB.
const AT_MOST: u64 = 200;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the file is: https, or http on this machine.
    url: Url,
    /// What the file has to be: the SHA-256 that its maker published, 64 hexadecimal digits.
    #[arg(long, value_name = "HASH", value_parser = hash)]
    sha256: String,
    /// Where to put it; else the last part of the URL, in this folder.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The largest file to take, in GiB.
    #[arg(long, value_name = "GIB", default_value_t = AT_MOST)]
    at_most: u64,
}

fn hash(text: &str) -> Result<String, String> {
    let digits = text.trim().trim_start_matches("sha256:").to_ascii_lowercase();
    match hex::decode(&digits) {
        Ok(bytes) if bytes.len() == 32 => Ok(digits),
        _ => Err("a SHA-256 has 64 hexadecimal digits".to_owned()),
    }
}

pub(crate) async fn run(shared: &Shared, args: &Args) -> Done<ExitCode> {
    let output = match &args.output {
        Some(output) => output.clone(),
        None => file_name(&args.url)?,
    };
    if output.exists() {
        return already(shared, args, &output);
    }
    if output.is_symlink() {
        return Err(Failure::usage(format!(
            "{} is a symbolic link that leads nowhere",
            output.display()
        ))
        .help("choose another --output, or remove it"));
    }
    // A long part is read for a while, and Ctrl-C may simply end that.
    let mut part = Part::open(&output, &args.url)?;
    let stop = told_to_stop();
    let begun = part.length();
    let whole = async {
        let mut progress = Progress::new("got", begun, part.total());
        fetch(args, &mut part, &mut progress).await?;
        drop(progress);
        part.finish(&args.sha256)
    };
    let ended = tokio::select! {
        ended = whole => ended,
        stop = stop => Err(match Failure::stopped(stop) {
            failure if part.length() == 0 => failure,
            failure => failure.help(format!(
                "what arrived is in {}, and the same command goes on from there",
                part::path(&output).display()
            )),
        }),
    };
    if ended.is_err() && part.length() == 0 {
        part.forget(); // there is nothing to go on from
    }
    let length = ended?;
    if shared.json {
        let row = serde_json::json!({
            "file": output, "sha256": args.sha256, "bytes": length, "resumed_from": begun,
        });
        say!("{row}");
    } else {
        say!("{}: {}, and its hash is the one asked for", output.display(), bytes(length));
        say!("  marque models info {} says what it is", output.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// The last part of the URL's path, if a file can be named so.
fn file_name(url: &Url) -> Done<PathBuf> {
    let name = url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+');
    match !name.is_empty() && !name.starts_with(['.', '-']) && name.chars().all(plain) {
        true => Ok(PathBuf::from(name)),
        false => Err(Failure::usage("the URL does not end with the name of a file")
            .help("say where to put it: --output FILE")),
    }
}

/// A file of that name is there: the one asked for, or somebody else's.
fn already(shared: &Shared, args: &Args, output: &Path) -> Done<ExitCode> {
    let found = super::info::sha256(output)?;
    if found != args.sha256 {
        return Err(Failure::usage(format!(
            "{} is there already, with SHA-256 {found}",
            output.display()
        ))
        .help("choose another --output, or move it away"));
    }
    let length = output.metadata().doing(output.display())?.len();
    if shared.json {
        let row = serde_json::json!({
            "file": output, "sha256": found, "bytes": length, "resumed_from": length,
        });
        say!("{row}");
    } else {
        say!("{}: it is there already, and its hash is the one asked for", output.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Fills `part` until all of it is there, or until nothing more comes: it is given up after [`TRIES`]
/// connections in a row that got no further than those before them.
async fn fetch(args: &Args, part: &mut Part, progress: &mut Progress) -> Done {
    let named = host_port(&args.url);
    let guard = Guard { timeout: PATIENCE, ..Guard::naming([named.as_str()]) };
    let client = Client::new(guard).map_err(Failure::usage)?;
    let most = args.at_most.saturating_mul(1 << 30);
    // Whoever gives the beginning again and again gets no further by it.
    let (mut tries, mut furthest) = (0, part.length());
    while !part.is_whole() {
        let error = match attempt(&client, &args.url, part, most, progress).await {
            Ok(()) if part.total().is_none() => return Ok(()),
            Ok(()) => NetError::Transport { host: named.clone(), why: "it ended early".into() },
            Err(Broken::Net(error)) => error,
            Err(Broken::Other(failure)) => return Err(failure),
        };
        let transient = matches!(error, NetError::Transport { .. } | NetError::Timeout { .. });
        tries = if part.length() > furthest { 1 } else { tries + 1 };
        furthest = furthest.max(part.length());
        if !transient || tries >= TRIES {
            let failure = match transient {
                true => Failure::new(format!("{error}; {tries} attempts in a row got no further")),
                false => Failure::usage(refusal(&error)),
            };
            return Err(match part.length() {
                0 if transient => failure.help("try later, or give a URL where it can be had"),
                0 => failure,
                length => failure.help(format!(
                    "{} of it arrived; the same command goes on from there",
                    bytes(length)
                )),
            });
        }
        tracing::debug!(%error, "asking again");
        tokio::time::sleep(Duration::from_secs(tries.into())).await;
    }
    Ok(())
}

/// Why the guard did not ask. It speaks of a policy, and nobody has one here.
fn refusal(error: &NetError) -> String {
    match error {
        NetError::Scheme { scheme, host } => format!(
            "{scheme}://{host} is not allowed; use https, or http://127.0.0.1:PORT/FILE for a file on \
             this machine"
        ),
        NetError::Port { host, port } => format!(
            "the URL leads on to port {port} of {host}, which is asked only where the URL itself names \
             it; give that one"
        ),
        error => error.to_string(),
    }
}

/// Why an attempt ended.
enum Broken {
    /// The network, which may be asked again.
    Net(NetError),
    /// Something that no second attempt mends.
    Other(Failure),
}

impl From<NetError> for Broken {
    fn from(error: NetError) -> Self {
        Self::Net(error)
    }
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

/// One request, from where the last one stopped.
async fn attempt(
    client: &Client,
    url: &Url,
    part: &mut Part,
    most: u64,
    progress: &mut Progress,
) -> Result<(), Broken> {
    let mut stream = ask(client, url, part).await?;
    if stream.status == 416 || (stream.status == 206 && !part.is_continued_by(&stream.headers)) {
        // The file has changed and has no such part.
        part.begin_again()?;
        stream = ask(client, url, part).await?;
    }
    match stream.status {
        // All of it: the server knows no parts, or the file has changed.
        200 => part.begin_again()?,
        206 => {}
        status => {
            let name = reason(status);
            return Err(Failure::new(format!("{url} answered {status}{name}")).into());
        }
    }
    part.note(&stream.headers, stream.length())?;
    let over = |length: u64| {
        Failure::new(format!("the file has {}, and {} are taken", bytes(length), bytes(most)))
            .help("take more with --at-most GIB")
    };
    if let Some(total) = part.total().filter(|total| *total > most) {
        return Err(over(total).into());
    }
    part.check_room()?;
    progress.at(part.length(), part.total());
    while let Some(piece) = stream.piece().await? {
        let piece = piece.as_ref();
        let length = part.length().saturating_add(piece.len() as u64);
        if length > most {
            return Err(over(length).into());
        }
        if part.total().is_some_and(|total| length > total) {
            return Err(Failure::new(format!("{url} sent more than it announced")).into());
        }
        part.append(piece)?;
        progress.add(piece.len() as u64);
    }
    Ok(())
}

/// Asks for what is missing. Other hosts may be led to, as long as the guard lets them be reached:
/// the hash decides what is taken, and nothing secret goes along.
async fn ask(client: &Client, url: &Url, part: &Part) -> Result<Stream, NetError> {
    let mut request = Request::get(url.clone());
    if let Some((range, validator)) = part.range() {
        request.headers.insert(header::RANGE, range);
        request.headers.insert(header::IF_RANGE, validator);
    }
    client.open(request, |_| true).await
}

const fn reason(status: u16) -> &'static str {
    match status {
        401 | 403 => ": it is not given to everybody",
        404 | 410 => ": there is no such file",
        429 => ": too many ask; try later",
        500.. => ": the server is in trouble; try later",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::{file_name, hash, refusal};
    use marque_net::Guard;

    #[test]
    fn a_url_names_a_file_or_somebody_has_to() {
        let name = |url: &str| file_name(&url.parse().unwrap()).ok();
        assert_eq!(name("https://a.example/x/Q-4.gguf?download=true"), Some("Q-4.gguf".into()));
        for url in ["https://a.example/", "https://a.example/.x", "https://a.example/a%2fb"] {
            assert_eq!(name(url), None, "{url}");
        }
    }

    #[test]
    fn a_refusal_speaks_of_no_policy_since_there_is_none() {
        let said = |url: &str| refusal(&Guard::default().vet(&url.parse().unwrap()).unwrap_err());
        let scheme = said("http://example.org/x");
        assert!(
            scheme.ends_with("http://127.0.0.1:PORT/FILE for a file on this machine"),
            "{scheme}"
        );
        assert!(said("https://example.org:99/x").contains("leads on to port 99 of example.org"));
        for url in ["http://127.0.0.1/x", "https://10.0.0.1/x", "https://a:b@a.org/", "https://x/"]
        {
            assert!(!said(url).contains("policy"), "{}", said(url));
        }
    }

    #[test]
    fn a_hash_is_taken_as_people_copy_it() {
        let digits = "AB".repeat(32);
        assert_eq!(hash(&format!("sha256:{digits} ")), Ok(digits.to_lowercase()));
        assert!(hash("12").is_err() && hash(&"zz".repeat(32)).is_err());
    }
}
