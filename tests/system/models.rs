//! `marque models`: files are looked at, tried where they cannot harm, and downloaded whole or not.

use crate::command::{failure, marque, ok, start, start_with};
use marque_models::synthetic::{Format, Synthetic};
use sha2::{Digest as _, Sha256};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Output,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

fn model(dir: &Path, format: Format) -> PathBuf {
    let path = dir.join("model.gguf");
    Synthetic::small(format).write(&path).unwrap();
    path
}

fn info(dir: &Path, args: &[&str]) -> Output {
    let args = [["models", "info"].as_slice(), args].concat();
    let cache = dir.join("cache");
    start_with(dir, &args, &[("MARQUE_CACHE", cache.to_str().unwrap())]).wait_with_output().unwrap()
}

#[test]
fn a_model_file_is_told_in_words_and_in_json() {
    let dir = tempfile::tempdir().unwrap();
    let path = model(dir.path(), Format::Q4KM);
    let path = path.to_str().unwrap();
    let text = ok(&info(dir.path(), &[path, "--context", "1024", "--sha256"]));
    let hash = hex::encode(Sha256::digest(std::fs::read(path).unwrap()));
    for line in [
        "name           synthetic-Q4_K_M",
        "architecture   llama",
        "parameters     2.2 million",
        "quantisation   not said (Q4_K 846.0 KiB, Q6_K 551.2 KiB, F32 5.0 KiB)",
        "context        2,048 tokens in training",
        "vocabulary     2,048 tokens, tokeniser gpt2",
        "chat template  yes; speaks of tools: no, of thinking: no",
        "exact          measured for its formats; marque models selftest asks this machine",
        "here           it runs, with 1 thread",
        &format!("sha256         {hash}"),
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    let memory = text.lines().find(|line| line.starts_with("memory ")).unwrap();
    assert!(
        memory.contains("with 1,024 tokens of context: weights 1.4 MiB, 1.0 KiB a token"),
        "{memory}"
    );

    let found: serde_json::Value =
        serde_json::from_str(&ok(&info(dir.path(), &[path, "--json"]))).unwrap();
    assert_eq!(found["here"]["runs"], true, "{found}");
    assert_eq!(found["exact_claimed"], true);
    assert_eq!(found["model"]["layers"], 2);
    assert_eq!(found["memory"]["per_token"], 1024);
    assert!(found["sha256"].is_null());
    // More context than it was trained on: the engine would refuse it.
    let out = info(dir.path(), &[path, "--context", "4096"]);
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let expected =
        "it does not run: 4,096 tokens of context are asked for, and it was trained on 2,048";
    assert!(text.contains(expected) && out.status.code() == Some(1), "{text}");
    // Without a file it is the built-in one; its hash is in its name.
    let built_in: serde_json::Value =
        serde_json::from_str(&ok(&info(dir.path(), &["--json", "--sha256"]))).unwrap();
    let hash = built_in["sha256"].as_str().unwrap();
    assert!(built_in["file"].as_str().unwrap().ends_with(&format!("{hash}.gguf")), "{built_in}");
}

/// A last matrix of whole numbers, for which llama.cpp has no multiplication, and a header that agrees.
fn deadly(dir: &Path) -> PathBuf {
    let path = dir.join("deadly.gguf");
    Synthetic::small(Format::F16).write(&path).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let name = b"blk.1.ffn_down.weight";
    let at = bytes.windows(name.len()).position(|window| window == name).unwrap();
    // The number of its dimensions, two of them, and then the format.
    let format = at + name.len() + 4 + 16;
    bytes[format..format + 4].copy_from_slice(&26_u32.to_le_bytes());
    // Each number is twice as long as before.
    bytes.resize(bytes.len() + 512 * 256 * 2, 1);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// A file whose last weights are no numbers.
fn not_a_number(dir: &Path) -> PathBuf {
    let path = dir.join("nan.gguf");
    Synthetic::small(Format::F16).write(&path).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let from = bytes.len() - 256 * 256;
    bytes[from..].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// 2 for what is no model, 1 for a model that does not run: of every command.
#[test]
fn a_file_that_is_no_model_or_harms_has_one_line_and_an_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let whole = model(dir.path(), Format::Q8_0);
    let bytes = std::fs::read(&whole).unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    for (path, expected) in [
        (write("page.gguf", b"<!doctype html>"), "is not a GGUF model: it starts with"),
        (write("cut.gguf", &bytes[..bytes.len() / 2]), "is incomplete: it has "),
        (dir.path().join("none.gguf").to_str().unwrap().to_owned(), "no model file at"),
    ] {
        for command in [["models", "info"], ["models", "bench"], ["demo", "--model"]] {
            let args = [command.as_slice(), &[&path]].concat();
            let (text, code) = failure(&marque(dir.path(), &args));
            assert!(text.contains(expected) && code == 2, "{command:?}: {code}: {text}");
        }
    }
    for (path, expected) in [
        (deadly(dir.path()), "deadly.gguf makes llama.cpp crash: "),
        (not_a_number(dir.path()), "nan.gguf: inference failed: the model gave no usable logits"),
    ] {
        let path = path.to_str().unwrap();
        let out = info(dir.path(), &[path]);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert_eq!(out.status.code(), Some(1), "{text}");
        assert!(text.contains("it does not run: model file ") && text.contains(expected), "{text}");
        for command in [["models", "bench"], ["demo", "--model"]] {
            let (text, code) =
                failure(&marque(dir.path(), &[command.as_slice(), &[path]].concat()));
            assert!(text.contains(expected) && code == 1, "{command:?}: {code}: {text}");
        }
    }
    let deadly = dir.path().join("deadly.gguf");
    let deadly = deadly.to_str().unwrap();
    // Nobody tried: nothing is claimed.
    let text = ok(&info(dir.path(), &[deadly, "--no-trial"]));
    assert!(text.contains("whether it answers was not tried"), "{text}");
}

#[test]
fn an_agents_model_is_tried_before_its_mind_starts() {
    let dir = tempfile::tempdir().unwrap();
    let agents = |name: &str, model: &Path| {
        let agent = dir.path().join("home/agents").join(name);
        std::fs::create_dir_all(&agent).unwrap();
        std::fs::write(agent.join("agent.toml"), format!("model = {model:?}\n")).unwrap();
    };
    let run = |args: &[&str]| {
        failure(&marque(dir.path(), &[["run", "scout", "Do nothing."].as_slice(), args].concat()))
    };
    let at = |name: &str| dir.path().join(name);
    let deadly = deadly(dir.path());
    std::fs::write(at("page.gguf"), "<!doctype html>").unwrap();
    assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    // Whether it was asked for or is the agent's own: one line, and nothing is started.
    for (model, expected, wanted) in [
        (at("pipe"), "pipe is not a GGUF model: it is not a regular file", 2),
        (at("none.gguf"), "no model file at ", 2),
        (at("page.gguf"), "page.gguf is not a GGUF model: it starts with", 2),
        (deadly.clone(), "deadly.gguf makes llama.cpp crash: ", 1),
    ] {
        agents("scout", &model);
        let (text, code) = run(&[]);
        assert!(text.starts_with("error: ") && text.contains(expected), "{text}");
        assert!(text.contains("help: agents/scout/agent.toml names it"), "{text}");
        assert_eq!((text.lines().count(), code), (2, wanted), "{text}");
        agents("scout", Path::new("built-in"));
        let (text, code) = run(&["--model", model.to_str().unwrap()]);
        assert!(text.starts_with("error: ") && text.contains(expected), "{text}");
        assert_eq!((text.lines().count(), code), (1, wanted), "{text}");
    }
    let home: Vec<_> = std::fs::read_dir(at("home")).unwrap().flatten().collect();
    assert_eq!(home.len(), 1, "{home:?}");
    // Another agent's model keeps nobody from work: its mind is fenced, and its owner is warned.
    agents("other", &deadly);
    let (text, _) = run(&[]);
    let warning = text.lines().find(|line| line.starts_with("warning: ")).unwrap();
    assert!(warning.contains("deadly.gguf makes llama.cpp crash: "), "{text}");
    agents("other", &at("none.gguf"));
    let (text, _) = run(&[]);
    assert!(text.contains("warning: no model file at "), "{text}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_is_tried_behind_a_fence() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    // Large enough to be looked at while it is tried.
    let model = Synthetic { width: 1_024, layers: 6, heads: 8, feed_forward: 4_096, ..small() };
    model.write(&path).unwrap();
    let mut child = std::process::Command::new(crate::support::MARQUE)
        .arg(&path)
        .env("MARQUE_ROLE", "trial")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let (mut filtered, mut privileges) = (false, false);
    while child.try_wait().unwrap().is_none() {
        let status = std::fs::read_to_string(&status).unwrap_or_default();
        let has = |line: &str| status.lines().any(|has| has.split_whitespace().eq(line.split(' ')));
        filtered |= has("Seccomp: 2");
        privileges |= has("NoNewPrivs: 1");
        std::thread::sleep(Duration::from_millis(1));
    }
    let out = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success() && said.contains("marque-trial: it answers"), "{said}");
    assert!(filtered && privileges, "the trial is not fenced");
}

fn small() -> Synthetic {
    Synthetic::small(Format::F16)
}

/// What a server does with a request; it is told the range's first byte, and writes the answer.
type Act = dyn Fn(&mut TcpStream, &Asked) + Send + Sync;

/// What was asked for.
#[derive(Debug, Clone, Default)]
struct Asked {
    from: Option<usize>,
    if_range: Option<String>,
}

/// An HTTP server on loopback that does as it is told, and remembers what it was asked.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    fn start(act: impl Fn(&mut TcpStream, &Asked) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/tiny.gguf", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, act): (_, Arc<Act>) = (Arc::clone(&asked), Arc::new(act));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, act) = (Arc::clone(&log), Arc::clone(&act));
                std::thread::spawn(move || {
                    let mut stream = stream;
                    let mut request = Asked::default();
                    for line in BufReader::new(&stream).lines() {
                        let line = line.unwrap_or_default().to_ascii_lowercase();
                        if let Some(range) = line.strip_prefix("range: bytes=") {
                            request.from = range.trim_end_matches('-').parse().ok();
                        }
                        if let Some(tag) = line.strip_prefix("if-range: ") {
                            request.if_range = Some(tag.to_owned());
                        }
                        if line.is_empty() {
                            break;
                        }
                    }
                    log.lock().unwrap().push(request.clone());
                    act(&mut stream, &request);
                });
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// Whoever asked may have gone.
fn send(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).ok();
}

fn head(stream: &mut TcpStream, status: &str, headers: &str, length: usize) {
    let head = format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    send(stream, head.as_bytes());
}

/// Answers as a good server does, and sends at most `most` bytes before it hangs up.
fn honest(stream: &mut TcpStream, asked: &Asked, file: &[u8], tag: &str, most: usize) {
    let tag = tag.to_ascii_lowercase();
    let from = asked.from.filter(|_| asked.if_range.as_deref().is_none_or(|asked| asked == tag));
    let body = match from {
        Some(from) => {
            let total = file.len();
            let range = format!("content-range: bytes {from}-{}/{total}\r\n", total - 1);
            head(stream, "206 Partial Content", &format!("{range}etag: {tag}\r\n"), total - from);
            &file[from..]
        }
        None => {
            head(stream, "200 OK", &format!("etag: {tag}\r\n"), file.len());
            file
        }
    };
    send(stream, &body[..most.min(body.len())]);
}

/// Bytes that a server gives.
fn goods(seed: u8) -> Vec<u8> {
    (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8 ^ seed).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn get(dir: &Path, url: &str, hash: &str) -> Output {
    start_get(dir, url, hash).wait_with_output().unwrap()
}

fn start_get(dir: &Path, url: &str, hash: &str) -> std::process::Child {
    let output = dir.join("tiny.gguf");
    let output = output.to_str().unwrap();
    start(dir, &["models", "get", url, "--sha256", hash, "--output", output, "--json"])
}

/// The whole file is there, and nothing beside it.
fn is_whole(dir: &Path, file: &[u8]) {
    assert_eq!(std::fs::read(dir.join("tiny.gguf")).unwrap(), file);
    is_clean(dir);
}

fn is_clean(dir: &Path) {
    for rest in ["tiny.gguf.part", "tiny.gguf.part.json"] {
        assert!(!dir.join(rest).exists(), "{rest} stays");
    }
}

fn resumed_from(out: &Output) -> u64 {
    let row: serde_json::Value = serde_json::from_str(&ok(out)).unwrap();
    row["resumed_from"].as_u64().unwrap()
}

#[test]
fn a_file_is_downloaded_whole_and_a_second_time_found() {
    let dir = tempfile::tempdir().unwrap();
    let file = goods(1);
    let served = file.clone();
    let server =
        Server::start(move |stream, asked| honest(stream, asked, &served, "\"1\"", usize::MAX));
    let out = get(dir.path(), &server.url, &sha256(&file));
    assert_eq!(resumed_from(&out), 0);
    is_whole(dir.path(), &file);
    assert_eq!(server.asked().len(), 1);
    ok(&get(dir.path(), &server.url, &sha256(&file)));
    assert_eq!(server.asked().len(), 1, "nobody is asked for what is there");
    // Another file of that name is not overwritten.
    let (text, code) = one_object(&get(dir.path(), &server.url, &sha256(b"other")));
    assert!(text.contains("is there already, with SHA-256") && code == 2, "{text}");
    is_whole(dir.path(), &file);
}

/// The failure of a command that prints JSON.
fn one_object(out: &Output) -> (String, i32) {
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(text.lines().count(), 1, "{text}");
    let object: serde_json::Value = serde_json::from_str(&text).unwrap();
    (format!("{} {}", object["error"], object["help"]), out.status.code().unwrap())
}

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let file = goods(1);
    let served = file.clone();
    // 100,000 bytes a connection, then it breaks.
    let server =
        Server::start(move |stream, asked| honest(stream, asked, &served, "\"1\"", 100_000));
    ok(&get(dir.path(), &server.url, &sha256(&file)));
    is_whole(dir.path(), &file);
    let from: Vec<_> = server.asked().iter().map(|asked| asked.from).collect();
    assert_eq!(from, [None, Some(100_000), Some(200_000)]);
}

#[test]
fn a_server_that_is_gone_leaves_a_part_that_the_next_one_completes() {
    let dir = tempfile::tempdir().unwrap();
    let file = goods(1);
    let (served, alive) = (file.clone(), Arc::new(Mutex::new(Some(100_000))));
    let switch = Arc::clone(&alive);
    let server = Server::start(move |stream, asked| {
        let most = *switch.lock().unwrap();
        if asked.from.is_none() || most == Some(usize::MAX) {
            honest(stream, asked, &served, "\"1\"", most.unwrap());
        }
    });
    let (text, code) = one_object(&get(dir.path(), &server.url, &sha256(&file)));
    assert!(text.contains("97.7 KiB of it arrived; the same command goes on from there"), "{text}");
    assert_eq!(code, 1);
    assert!(!dir.path().join("tiny.gguf").exists());
    *alive.lock().unwrap() = Some(usize::MAX);
    assert_eq!(resumed_from(&get(dir.path(), &server.url, &sha256(&file))), 100_000);
    is_whole(dir.path(), &file);
}

#[test]
fn a_server_without_ranges_is_asked_for_all_of_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = goods(1);
    let served = file.clone();
    let times = Mutex::new(0);
    let server = Server::start(move |stream, _| {
        let mut times = times.lock().unwrap();
        *times += 1;
        let most = if *times == 1 { 100_000 } else { usize::MAX };
        // It names its version, and gives all of it whatever is asked.
        honest(stream, &Asked::default(), &served, "\"1\"", most);
    });
    ok(&get(dir.path(), &server.url, &sha256(&file)));
    is_whole(dir.path(), &file);
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn a_file_that_changed_between_two_parts_is_taken_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (goods(1), goods(2));
    let served = (old.clone(), new.clone());
    let times = Mutex::new(0);
    let server = Server::start(move |stream, asked| {
        let mut times = times.lock().unwrap();
        *times += 1;
        match *times {
            1 => honest(stream, asked, &served.0, "\"old\"", 100_000),
            _ => honest(stream, asked, &served.1, "\"new\"", usize::MAX),
        }
    });
    ok(&get(dir.path(), &server.url, &sha256(&new)));
    is_whole(dir.path(), &new);
    assert_eq!(server.asked()[1].if_range.as_deref(), Some("\"old\""));
}

#[test]
fn a_part_of_another_place_in_the_file_is_not_joined() {
    let dir = tempfile::tempdir().unwrap();
    let file = goods(1);
    let served = file.clone();
    let server = Server::start(move |stream, asked| match asked.from {
        None => honest(stream, asked, &served, "\"1\"", 100_000),
        _ => {
            // 50,000 bytes that nobody asked for.
            head(
                stream,
                "206 Partial Content",
                "etag: \"1\"\r\ncontent-range: bytes 50000-299999/300000\r\n",
                250_000,
            );
            send(stream, &served[50_000..]);
        }
    });
    let out = get(dir.path(), &server.url, &sha256(&file));
    // It never gives all of it in one piece, so it fails; what it joined would have been wrong.
    let (text, code) = one_object(&out);
    assert!(text.contains("goes on from there") && code == 1, "{text}");
    let part = std::fs::read(dir.path().join("tiny.gguf.part")).unwrap();
    assert_eq!(part, file[..part.len()]);
}

#[test]
fn a_server_that_gets_no_further_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let file = goods(1);
    // A head and no byte, no word at all, and now more and now less of the beginning.
    type Answer = fn(&mut TcpStream, &[u8], usize);
    let kinds: [(Answer, bool); 3] = [
        (|stream, file, _| honest(stream, &Asked::default(), file, "\"1\"", 0), false),
        (|_, _, _| (), false),
        (
            |stream, file, time| {
                let most = [100_000, 50_000][time % 2];
                honest(stream, &Asked::default(), file, "\"1\"", most);
            },
            true,
        ),
    ];
    for (answer, arrives) in kinds {
        let served = file.clone();
        let times = std::sync::atomic::AtomicUsize::new(0);
        let server = Server::start(move |stream, _| {
            answer(stream, &served, times.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
        });
        let (text, code) = one_object(&get(dir.path(), &server.url, &sha256(&file)));
        assert!(text.contains("; 3 attempts in a row got no further") && code == 1, "{text}");
        assert_eq!(server.asked().len(), 3, "{text}");
        assert_eq!(text.contains("goes on from there"), arrives, "{text}");
        if !arrives {
            assert!(text.contains("try later"), "{text}");
            is_clean(dir.path());
        }
    }
}

#[test]
fn a_file_with_another_hash_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let neighbour = dir.path().join("tiny.gguf.old");
    std::fs::write(&neighbour, "mine").unwrap();
    let file = goods(1);
    let served = file.clone();
    let server =
        Server::start(move |stream, asked| honest(stream, asked, &served, "\"1\"", usize::MAX));
    let wanted = sha256(b"another");
    let (text, code) = one_object(&get(dir.path(), &server.url, &wanted));
    assert!(text.contains(&sha256(&file)) && text.contains(&wanted) && code == 1, "{text}");
    assert!(!dir.path().join("tiny.gguf").exists());
    is_clean(dir.path());
    assert_eq!(std::fs::read(neighbour).unwrap(), b"mine");
}

#[test]
fn a_file_that_is_not_there_or_too_large_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|stream, _| head(stream, "404 Not Found", "", 0));
    let (text, code) = one_object(&get(dir.path(), &server.url, &sha256(b"x")));
    assert!(text.contains("answered 404: there is no such file") && code == 1, "{text}");
    // A server that claims more than is taken, and one that claims more than the disk has.
    let server = Server::start(|stream, _| head(stream, "200 OK", "", 300 << 30));
    let (text, code) = one_object(&get(dir.path(), &server.url, &sha256(b"x")));
    assert!(
        text.contains("the file has 300.0 GiB, and 200.0 GiB are taken") && code == 1,
        "{text}"
    );
    let out = start(
        dir.path(),
        &["models", "get", &server.url, "--sha256", &sha256(b"x"), "--at-most", "9000", "--output"]
            .into_iter()
            .chain([dir.path().join("tiny.gguf").to_str().unwrap()])
            .collect::<Vec<_>>(),
    );
    let (text, code) = failure(&out.wait_with_output().unwrap());
    assert!(text.contains("300.0 GiB are missing, and the disk of ") && code == 1, "{text}");
    assert!(!dir.path().join("tiny.gguf").exists());
}

#[test]
fn a_url_or_hash_that_cannot_be_is_wrong_usage() {
    let dir = tempfile::tempdir().unwrap();
    let hash = sha256(b"x");
    for (url, expected) in [
        (
            "http://example.org/x.gguf",
            "http://example.org is not allowed; use https, or http://127.0.0.1:PORT/FILE for a file",
        ),
        ("https://10.0.0.1/x.gguf", "only public addresses may be reached"),
        ("https://user:pass@example.org/x.gguf", "carries a user name or password"),
    ] {
        let (text, code) = one_object(&get(dir.path(), url, &hash));
        assert!(text.contains(expected) && code == 2, "{code}: {text}");
    }
    let server = Server::start(|stream, _| {
        head(stream, "302 Found", "location: https://example.org:99/x.gguf\r\n", 0);
    });
    let (text, code) = one_object(&get(dir.path(), &server.url, &hash));
    assert!(text.contains("leads on to port 99 of example.org") && code == 2, "{code}: {text}");
    is_clean(dir.path());
    let out = marque(dir.path(), &["models", "get", "https://example.org/x", "--sha256", "12"]);
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(text.contains("a SHA-256 has 64 hexadecimal digits"), "{text}");
    assert_eq!(out.status.code(), Some(2));
}

#[test]
fn ctrl_c_leaves_a_part_that_goes_on() {
    use rustix::process::Signal;
    for (signal, code, name) in [(Signal::INT, 130, "Ctrl-C"), (Signal::TERM, 143, "SIGTERM")] {
        stopped_by(signal, code, name);
    }
}

fn stopped_by(signal: rustix::process::Signal, wanted: i32, name: &str) {
    let dir = tempfile::tempdir().unwrap();
    let file = goods(1);
    let served = file.clone();
    let server = Server::start(move |stream, asked| {
        honest(
            stream,
            asked,
            &served,
            "\"1\"",
            if asked.from.is_some() { usize::MAX } else { 100_000 },
        );
        // The rest does not come, and the connection stays.
        if asked.from.is_none() {
            std::thread::sleep(Duration::from_secs(120));
        }
    });
    let child = start_get(dir.path(), &server.url, &sha256(&file));
    let part = dir.path().join("tiny.gguf.part");
    let until = Instant::now() + Duration::from_secs(60);
    while std::fs::metadata(&part).map_or(0, |part| part.len()) < 100_000 {
        assert!(Instant::now() < until, "nothing arrives");
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, signal).unwrap();
    let (text, code) = one_object(&child.wait_with_output().unwrap());
    assert!(text.contains(&format!("stopped by {name}")) && code == wanted, "{code}: {text}");
    assert!(text.contains("the same command goes on from there"), "{text}");
    assert!(!dir.path().join("tiny.gguf").exists());
    assert_eq!(resumed_from(&get(dir.path(), &server.url, &sha256(&file))), 100_000);
    is_whole(dir.path(), &file);
}

#[cfg(unix)]
#[test]
fn what_is_no_file_or_somebodys_part_is_told_at_once_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let made =
        std::process::Command::new("mkfifo").args([at("pipe"), at("q.part")]).status().unwrap();
    assert!(made.success());
    for command in ["info", "bench"] {
        let (text, code) = failure(&marque(dir.path(), &["models", command, &at("pipe")]));
        assert!(code == 2 && text.contains("not a regular file"), "{command}: {text}");
    }
    std::fs::write(at("x.part"), "the only copy of a thesis").unwrap();
    std::os::unix::fs::symlink(at("x.part"), at("link.part")).unwrap();
    std::os::unix::fs::symlink(at("nowhere"), at("dangling")).unwrap();
    let hash = "0".repeat(64);
    for (output, why) in [
        ("x", "is there already"),
        ("q", "regular file"),
        ("link", "link.part"),
        ("dangling", "dangling is a symbolic link that leads nowhere"),
    ] {
        let url = "http://127.0.0.1:1/x";
        let args = ["models", "get", url, "--sha256", &hash, "-o", &at(output)];
        let (text, code) = failure(&marque(dir.path(), &args));
        assert!(code > 0 && text.contains(why), "{output}: {text}");
    }
    assert_eq!(std::fs::read_to_string(at("x.part")).unwrap(), "the only copy of a thesis");
}
