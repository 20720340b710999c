//! What a call keeps and finds again: files, memories, and where all of it came from.

use super::{Cx, lock};
use crate::{
    AgentError, Recalled, ToolError,
    memory::{FileError, TEXT, TOPIC},
};
use marque_policies::{Label, Labels};

impl Cx {
    /// Keeps a file for later calls and tasks of this agent, in place of an older one of that name.
    /// It has the labels of everything that this call has seen.
    ///
    /// # Errors
    /// [`ToolError::Memory`] for a name with anything but letters, digits, `-`, `_` and `.`, or
    /// where it cannot be written.
    pub fn keep(&self, name: &str, bytes: &[u8]) -> Result<(), ToolError> {
        self.scope.memory.keep(name, bytes, &self.labels()).map_err(lost)
    }

    /// As [`Cx::keep`], for a file that was made from what has these labels and from nothing else that
    /// this call has seen, such as what a tool looked up for its own use.
    ///
    /// # Errors
    /// As for [`Cx::keep`].
    pub fn keep_from(&self, name: &str, bytes: &[u8], labels: &Labels) -> Result<(), ToolError> {
        self.scope.memory.keep(name, bytes, labels).map_err(lost)
    }

    /// A file that was kept, if there is one of that name. Its labels are this call's from now on.
    ///
    /// # Errors
    /// As for [`Cx::keep`].
    pub fn kept(&self, name: &str) -> Result<Option<Vec<u8>>, ToolError> {
        let kept = self.scope.memory.kept(name).map_err(lost)?;
        Ok(kept.map(|(bytes, labels)| {
            self.join_labels(&labels);
            bytes
        }))
    }

    /// Keeps a text that is too long to be shown, and gives the name under which [`Cx::kept`] has it.
    /// The newest 128 such texts stay.
    ///
    /// # Errors
    /// [`ToolError::Memory`] where it cannot be written.
    pub fn put_aside(&self, text: &str) -> Result<String, ToolError> {
        self.scope.memory.put_aside(text, &self.labels()).map_err(lost)
    }

    /// Remembers a text under a topic, for all tasks to come, in place of what was remembered there.
    /// It has the labels of everything that this call has seen, and keeps those that the topic had.
    ///
    /// # Errors
    /// [`ToolError::Arguments`] for an empty topic or text, a topic of more than 80 or a text of more
    /// than 2,000 characters; [`ToolError::Memory`] where it cannot be written.
    pub async fn remember(&self, topic: &str, text: &str) -> Result<(), ToolError> {
        for (what, words, most) in [("topic", topic, TOPIC), ("text", text, TEXT)] {
            let length = words.chars().count();
            if words.trim().is_empty() || length > most {
                let why = format!("the {what} has {length} characters; it takes 1 to {most}");
                return Err(ToolError::Arguments(why));
            }
        }
        let remembered = self.scope.memory.remember(topic.trim(), text, self.labels());
        remembered.await.map_err(lost)
    }

    /// What this agent remembers of something, the best fit first, at most so many texts: what it was
    /// told to remember, what its tasks came to, what this task has seen. Its labels are this call's
    /// from now on, and so those of every later intent of this task.
    ///
    /// # Errors
    /// [`ToolError::Memory`] where it cannot be read.
    pub async fn recall(&self, query: &str, most: usize) -> Result<Vec<Recalled>, ToolError> {
        let recalled = self.scope.memory.recall(query, most, self.task(), self.labels());
        let recalled = recalled.await.map_err(lost)?;
        for memory in &recalled {
            self.join_labels(&memory.labels);
            self.join_labels(&Labels::default().with(Label::Memory));
        }
        Ok(recalled)
    }

    /// A file in the folder that the owner granted ([`Files`](crate::Files)). It counts as remembered, and
    /// has the labels under which this agent ever wrote it; they are this call's from now on.
    ///
    /// # Errors
    /// [`ToolError::Failed`] with a [`FilesError`](crate::files::FilesError).
    pub async fn read_file(&self, path: &str) -> Result<Vec<u8>, ToolError> {
        let (bytes, labels) = self.scope.memory.read_file(path).await.map_err(unfiled)?;
        self.join_labels(&labels);
        Ok(bytes)
    }

    /// Writes a file whole in the folder that the owner granted, in place of one that is there. It has
    /// the labels of everything that this call has seen.
    ///
    /// # Errors
    /// As for [`Cx::read_file`].
    pub async fn write_file(&self, path: &str, bytes: Vec<u8>) -> Result<(), ToolError> {
        self.scope.memory.write_file(path, bytes, self.labels()).await.map_err(unfiled)
    }

    /// Where everything came from that the task has seen, this call included.
    #[must_use]
    pub fn labels(&self) -> Labels {
        lock(&self.scope.labels).clone()
    }

    /// Says where something came from that this call has seen otherwise than through `Cx`. Labels only
    /// add up.
    pub fn join_labels(&self, labels: &Labels) {
        let mine = &mut *lock(&self.scope.labels);
        *mine = std::mem::take(mine).join(labels);
    }
}

fn lost(error: AgentError) -> ToolError {
    match error {
        AgentError::Memory(why) => ToolError::Memory(why),
        error => ToolError::Memory(error.to_string()),
    }
}

fn unfiled(error: FileError) -> ToolError {
    match error {
        FileError::Files(error) => ToolError::Failed(error.into()),
        FileError::Memory(error) => lost(error),
    }
}
