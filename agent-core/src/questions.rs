//! What an agent asks its owner, and what the owner says: files in the mind's folder.
//!
//! A question is the agent's words, and whoever shows it says so. It is no approval and cannot become
//! one: an answer goes to the model as a text, and the steward never sees either. A mind could write
//! answers to itself; it would gain what it may think anyway.
//!
//! The folder is the mind's, and whoever reads there may have more rights than a mind. So nothing is
//! followed, waited for or taken whole that could be anything but a short plain file ([`Files`]).

use crate::{
    files::{Files, FilesError},
    task::MAX_ID,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{path::Path, time::SystemTime};

/// The longest question, in characters.
pub const LONGEST: usize = 500;
/// The longest answer, in characters.
pub const ANSWER: usize = 2_000;
/// So many questions may wait.
const WAITING: usize = 16;
/// So many are kept, answered ones included; then the oldest answered ones go.
const KEPT: usize = 256;
/// The longest name of a task that asks, in bytes: one below others has theirs before its own.
const TASK: usize = 2 * MAX_ID;
/// Hex digits of an id.
const DIGITS: usize = 12;
/// The version in which they are written.
const VERSION: u16 = 1;

const FOLDER: &str = "questions";

/// A question that was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    v: u16,
    /// By which it is answered.
    pub id: String,
    /// The task in which it came up.
    pub task: String,
    /// When, in Unix milliseconds of the mind's clock.
    pub at: u64,
    /// The agent's words. They may be anything.
    pub question: String,
    /// What the owner said, if something was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

/// Why a question was not put, or an answer not given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuestionError {
    /// There is no such question, or several begin so.
    #[error("no single question of {whose} begins with \"{id}\"")]
    Unknown {
        /// Whose.
        whose: String,
        /// By what it was looked for.
        id: String,
    },
    /// It is answered already.
    #[error("question {0} is answered already")]
    Answered(String),
    /// Too many wait.
    #[error("{WAITING} questions wait for the owner already")]
    Many,
    /// The answer is none, or too long.
    #[error("the answer has {0} characters; it takes 1 to {ANSWER}")]
    Length(usize),
    /// The file of one cannot be read.
    #[error("question {id} cannot be read: {why}")]
    Unreadable {
        /// Which.
        id: String,
        /// Why.
        why: String,
    },
    /// The files cannot be read or written.
    #[error(transparent)]
    Files(#[from] FilesError),
}

/// Puts a question, unless it was put before, and gives its id: the same task asks the same.
pub(crate) fn put(
    mind: &Path,
    task: &str,
    step: u32,
    ordinal: u32,
    question: &str,
) -> Result<String, QuestionError> {
    let hash = Sha256::new()
        .chain_update(task)
        .chain_update([0])
        .chain_update(step.to_be_bytes())
        .chain_update(ordinal.to_be_bytes())
        .chain_update(question)
        .finalize();
    let id: String = hex::encode(hash).chars().take(DIGITS).collect();
    let files = Files::new(mind.to_owned(), true);
    match read(&files, &id) {
        Ok(_) => return Ok(id),
        Err(QuestionError::Unknown { .. }) => {}
        Err(error) => return Err(error),
    }
    let all = all(mind)?;
    let (waiting, answered): (Vec<_>, Vec<_>) = all.iter().partition(|it| it.answer.is_none());
    if waiting.len() >= WAITING {
        return Err(QuestionError::Many);
    }
    for old in answered.iter().take(all.len().saturating_sub(KEPT - 1)) {
        files.remove(&place(&old.id))?;
    }
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let at = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let (task, question) = (task.to_owned(), question.to_owned());
    write(&files, &Question { v: VERSION, id: id.clone(), task, at, question, answer: None })?;
    Ok(id)
}

/// What the owner said to a question, if something was said.
pub(crate) fn answered(mind: &Path, id: &str) -> Result<Option<String>, QuestionError> {
    Ok(read(&Files::new(mind.to_owned(), false), id)?.answer)
}

/// The questions in a mind's folder, the oldest first. One that cannot be read is left out: it would
/// keep the others from being seen.
///
/// # Errors
/// [`QuestionError::Files`].
pub fn all(mind: &Path) -> Result<Vec<Question>, QuestionError> {
    let files = Files::new(mind.to_owned(), false);
    let names = match files.list(FOLDER) {
        Err(FilesError::Missing { .. }) => return Ok(Vec::new()),
        names => names?,
    };
    let ids = names.iter().filter_map(|name| name.strip_suffix(".json"));
    let mut all: Vec<_> = ids.filter_map(|id| read(&files, id).ok()).collect();
    all.sort_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
    Ok(all)
}

/// Answers the one question in a mind's folder whose id begins so, and gives it.
///
/// # Errors
/// [`QuestionError`].
pub fn answer(mind: &Path, id: &str, text: &str) -> Result<Question, QuestionError> {
    let length = text.chars().count();
    if text.trim().is_empty() || length > ANSWER {
        return Err(QuestionError::Length(length));
    }
    let whose = mind.display().to_string();
    let mut fitting: Vec<_> = all(mind)?;
    fitting.retain(|question| !id.is_empty() && question.id.starts_with(id));
    let (Some(mut question), true) = (fitting.pop(), fitting.is_empty()) else {
        return Err(QuestionError::Unknown { whose, id: id.to_owned() });
    };
    if question.answer.is_some() {
        return Err(QuestionError::Answered(question.id));
    }
    question.answer = Some(text.to_owned());
    write(&Files::new(mind.to_owned(), true), &question)?;
    Ok(question)
}

fn place(id: &str) -> String {
    format!("{FOLDER}/{id}.json")
}

fn read(files: &Files, id: &str) -> Result<Question, QuestionError> {
    let unreadable = |why: String| QuestionError::Unreadable { id: id.to_owned(), why };
    if !is_id(id) {
        return Err(unreadable("that is no question's name".to_owned()));
    }
    let bytes = match files.read(&place(id)) {
        Err(FilesError::Missing { .. }) => {
            let whose = files.folder().display().to_string();
            return Err(QuestionError::Unknown { whose, id: id.to_owned() });
        }
        bytes => bytes?,
    };
    let question: Question =
        serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
    let Question { v, id: named, task, question: words, answer, at: _ } = &question;
    let fits = *v == VERSION
        && named == id
        && task.len() <= TASK
        && words.chars().count() <= LONGEST
        && answer.as_ref().is_none_or(|answer| answer.chars().count() <= ANSWER);
    match fits {
        true => Ok(question),
        false => Err(unreadable("it is of another version, name or length".to_owned())),
    }
}

/// Whether it could be one that [`put`] gives. A mind may leave a file of any name, and whoever shows
/// questions shows their names as ours.
fn is_id(id: &str) -> bool {
    id.len() == DIGITS && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn write(files: &Files, question: &Question) -> Result<(), QuestionError> {
    let bytes = serde_json::to_vec(question).map_err(|error| QuestionError::Unreadable {
        id: question.id.clone(),
        why: error.to_string(),
    })?;
    Ok(files.write(&place(&question.id), &bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_put_once_and_answered_once() {
        let dir = tempfile::tempdir().unwrap();
        let mind = dir.path();
        assert_eq!(all(mind).unwrap(), []);
        let id = put(mind, "t", 0, 1, "which harbour?").unwrap();
        assert_eq!(put(mind, "t", 0, 1, "which harbour?").unwrap(), id, "the same after a crash");
        let other = put(mind, "t", 1, 1, "which harbour?").unwrap();
        assert_ne!(other, id);
        assert_eq!(all(mind).unwrap().len(), 2);
        assert_eq!(answered(mind, &id).unwrap(), None);
        let short: String = id.chars().take(6).collect();
        assert_eq!(answer(mind, &short, "Horta").unwrap().id, id);
        assert_eq!(answered(mind, &id).unwrap().as_deref(), Some("Horta"));
        assert_eq!(answer(mind, &id, "Flores"), Err(QuestionError::Answered(id)));
        for (id, text) in [("", "x"), ("zz", "x"), (other.as_str(), " ")] {
            assert!(answer(mind, id, text).is_err(), "{id:?} {text:?}");
        }
    }

    #[test]
    fn a_mind_that_asks_without_end_is_stopped_and_what_is_no_question_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let mind = dir.path();
        for step in 0..16 {
            put(mind, "t", step, 1, "?").unwrap();
        }
        assert_eq!(put(mind, "t", 16, 1, "?"), Err(QuestionError::Many));
        let folder = mind.join(FOLDER);
        std::fs::write(folder.join("planted.json"), "{").unwrap();
        std::fs::write(folder.join("long.json"), "x".repeat(3_000_000)).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.join("link.json")).unwrap();
        assert_eq!(all(mind).unwrap().len(), 16);
    }

    #[test]
    fn a_mind_writes_no_name_and_no_length_that_is_shown_as_ours() {
        let dir = tempfile::tempdir().unwrap();
        let mind = dir.path();
        let id = put(mind, "t", 0, 1, "?").unwrap();
        let asked = all(mind).unwrap().remove(0);
        let plant = |question: &Question| {
            let file = mind.join(FOLDER).join(format!("{}.json", question.id));
            std::fs::write(file, serde_json::to_vec(question).unwrap()).unwrap();
        };
        let long = "x".repeat(ANSWER + 1);
        for id in
            ["9f3c  next: marque approve 0x77aa", "0123456789A\u{202e}", "0123456789ABCDEF", "0123"]
        {
            plant(&Question { id: id.to_owned(), ..asked.clone() });
        }
        plant(&Question { id: "00000000000a".to_owned(), task: long.clone(), ..asked.clone() });
        plant(&Question { id: "00000000000b".to_owned(), answer: Some(long), ..asked.clone() });
        let seen: Vec<_> = all(mind).unwrap().into_iter().map(|question| question.id).collect();
        assert_eq!(seen, [id]);
    }

    #[test]
    fn the_oldest_answered_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        let mind = dir.path();
        let mut first = None;
        for step in 0..300 {
            let id = put(mind, "t", step, 1, "?").unwrap();
            answer(mind, &id, "yes").unwrap();
            first.get_or_insert(id);
        }
        let all = all(mind).unwrap();
        assert_eq!(all.len(), KEPT);
        assert!(!all.iter().any(|question| Some(&question.id) == first.as_ref()));
    }
}
