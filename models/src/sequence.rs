//! A handle on one conversation in an engine.

use std::path::Path;

use tokio::sync::{mpsc, oneshot};

use crate::engine::Command;
use crate::error::ModelError;
use crate::model::SessionId;
use crate::parked::Parked;

/// One conversation of a [`Llama`](crate::Llama): what the engine has computed of it can be put
/// into a file, taken up again, or forgotten.
///
/// Cheap to clone and free to move between threads; the computation stays on the engine's. It
/// does not keep the model alive.
#[derive(Debug, Clone)]
pub struct Sequence {
    session: SessionId,
    commands: mpsc::UnboundedSender<Command>,
}

impl Sequence {
    pub(crate) fn new(session: SessionId, commands: mpsc::UnboundedSender<Command>) -> Self {
        Self { session, commands }
    }

    /// The session that requests name.
    #[must_use]
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// Writes what is computed to a file in `folder` and frees its place in the engine.
    ///
    /// # Errors
    /// [`ModelError::Parked`] if there is nothing, the session is at work, or the file cannot be
    /// written; what was computed then stays where it is.
    pub async fn park(&self, folder: impl AsRef<Path>) -> Result<Parked, ModelError> {
        let folder = folder.as_ref().to_owned();
        self.ask(|answer| Command::Park(self.session.clone(), folder, answer)).await
    }

    /// Takes up what was parked, if the file is the one that was written, for this model, these
    /// settings and this version. Returns the number of tokens that need not be computed again.
    ///
    /// # Errors
    /// [`ModelError::Parked`] with the reason. Nothing is lost but time: the next request
    /// computes anew.
    pub async fn resume(&self, parked: &Parked) -> Result<u32, ModelError> {
        let parked = Box::new(parked.clone());
        self.ask(|answer| Command::Resume(self.session.clone(), parked, answer)).await
    }

    /// Frees the place in the engine.
    pub fn forget(&self) {
        if self.commands.send(Command::Forget(self.session.clone())).is_err() {
            tracing::debug!("the engine has stopped; there is nothing to forget");
        }
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, ModelError>>) -> Command,
    ) -> Result<T, ModelError> {
        let (sender, answer) = oneshot::channel();
        self.commands.send(command(sender)).map_err(|_| ModelError::Stopped)?;
        answer.await.map_err(|_| ModelError::Stopped)?
    }
}
