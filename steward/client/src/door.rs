//! The way to the steward's socket through a fence that allows no Unix sockets.
//!
//! A mind that is captured must not reach a session bus, an agent for SSH keys or another agent's
//! steward, so its fence denies it Unix sockets altogether. What it may have, connections to its
//! own steward, another process makes for it: the *doorman*, which the mind starts before its fence
//! stands and which knows a fixed list of sockets. The mind writes one byte, a place in that list,
//! and gets one byte back, with a connected socket where somebody listens. So a mind outlives a
//! restart of its steward, and its steward still sees the user that the mind runs as.
//!
//! The line between the two is a stream pair on the doorman's standard input: no name, nothing for
//! others to connect to.
//!
//! INVARIANT: a doorman connects to what is on its list and to nothing else (pinned by
//! `tests::a_doorman_opens_what_is_on_its_list_and_nothing_else`).

use rustix::{
    cmsg_space,
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recvmsg,
        send, sendmsg, socket_with,
    },
};
use std::{
    ffi::OsString,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{net::UnixStream as Line, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, OnceLock, PoisonError},
};
use tokio::net::UnixStream;

/// The answer that carries a socket.
const HERE: u8 = 0;

/// The answer where nobody listens, or the place is not on the list.
const NOBODY: u8 = 1;

/// The door of this process, once it has one.
static DOOR: OnceLock<Door> = OnceLock::new();

/// A mind's line to its doorman.
#[derive(Debug)]
pub struct Door {
    line: Mutex<Line>,
    sockets: Vec<PathBuf>,
}

impl Door {
    /// Starts `doorman`, a program that calls [`serve`] with its arguments, for these sockets.
    ///
    /// # Errors
    /// Where there are more than 256 sockets or the program cannot be started.
    pub fn hire(doorman: &mut Command, sockets: Vec<PathBuf>) -> io::Result<Self> {
        if sockets.len() > usize::from(u8::MAX) {
            return Err(io::Error::other("a mind speaks for at most 255 agents"));
        }
        let (ours, theirs) = Line::pair()?;
        doorman
            .args(&sockets)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            // A Ctrl-C at the terminal is the mind's to answer.
            .process_group(0)
            .spawn()?;
        Ok(Self { line: Mutex::new(ours), sockets })
    }

    /// Makes this the door of the process: from now on every connection goes through it.
    ///
    /// # Errors
    /// Where the process has one already.
    pub fn install(self) -> io::Result<()> {
        DOOR.set(self).map_err(|_| io::Error::other("this process has a door already"))
    }

    fn open(&self, path: &Path) -> io::Result<std::os::unix::net::UnixStream> {
        let place = self.sockets.iter().position(|socket| socket == path);
        let place = place.and_then(|place| u8::try_from(place).ok()).ok_or_else(|| {
            io::Error::new(io::ErrorKind::PermissionDenied, "this mind does not speak for it")
        })?;
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        send(&*line, &[place], SendFlags::NOSIGNAL)?;
        let mut said = [NOBODY];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let got = recvmsg(&*line, &mut [IoSliceMut::new(&mut said)], &mut control, flags)?;
        if got.bytes == 0 {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the doorman is gone"));
        }
        let sockets = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
            _ => None,
        });
        match (said, sockets.last()) {
            ([HERE], Some(socket)) => Ok(socket.into()),
            _ => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }
}

/// Connects to a steward's socket: through the door, where this process has one.
pub(crate) async fn to(path: &Path) -> io::Result<UnixStream> {
    let Some(door) = DOOR.get() else { return UnixStream::connect(path).await };
    let path = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || door.open(&path)).await;
    let stream = opened.map_err(io::Error::other)??;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

/// Connects to a steward's socket for somebody who speaks the protocol by hand; through the door,
/// where this process has one.
///
/// # Errors
/// Where nobody listens there, or this process may not ask.
pub async fn raw(path: &Path) -> io::Result<UnixStream> {
    to(path).await
}

/// The doorman's whole work: answers its mind on standard input until that is gone.
///
/// # Errors
/// What the line says.
pub fn serve(sockets: impl IntoIterator<Item = OsString>) -> io::Result<()> {
    let sockets: Vec<PathBuf> = sockets.into_iter().map(PathBuf::from).collect();
    serve_on(io::stdin(), &sockets)
}

fn serve_on(line: impl AsFd, sockets: &[PathBuf]) -> io::Result<()> {
    let mut place = [0];
    loop {
        match rustix::io::read(&line, &mut place) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let [wanted] = place;
        let opened = sockets.get(usize::from(wanted)).map(|path| reach(path));
        let sent = match opened {
            Some(Ok(socket)) => {
                let socket = [socket.as_fd()];
                let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                control.push(SendAncillaryMessage::ScmRights(&socket));
                sendmsg(&line, &[IoSlice::new(&[HERE])], &mut control, SendFlags::NOSIGNAL)
            }
            _ => send(&line, &[NOBODY], SendFlags::NOSIGNAL),
        };
        sent?;
    }
}

/// A connection that never waits: where a steward does not take it at once, the mind asks again.
fn reach(path: &Path) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Write as _, os::unix::net::UnixListener};

    /// A door whose doorman is a thread of this test.
    fn door(sockets: &[PathBuf]) -> Door {
        let (ours, theirs) = Line::pair().unwrap();
        let list = sockets.to_vec();
        std::thread::spawn(move || serve_on(theirs, &list));
        Door { line: Mutex::new(ours), sockets: sockets.to_vec() }
    }

    #[test]
    fn a_connection_through_the_door_is_the_stewards_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let door = door(std::slice::from_ref(&path));
        let nobody = door.open(&path).unwrap_err();
        assert_eq!(nobody.kind(), io::ErrorKind::ConnectionRefused);
        let steward = UnixListener::bind(&path).unwrap();
        for turn in [b"one", b"two"] {
            let mut mind = door.open(&path).unwrap();
            mind.write_all(turn).unwrap();
            let (mut heard, mut said) = (steward.accept().unwrap().0, [0; 3]);
            io::Read::read_exact(&mut heard, &mut said).unwrap();
            assert_eq!(&said, turn);
        }
    }

    #[test]
    fn a_doorman_opens_what_is_on_its_list_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, others) = (dir.path().join("ours"), dir.path().join("others"));
        let listeners = [UnixListener::bind(&ours).unwrap(), UnixListener::bind(&others).unwrap()];
        let mut door = door(std::slice::from_ref(&ours));
        assert_eq!(door.open(&others).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        // A captured mind that has its own idea of the list asks for a place that is not on it.
        door.sockets.push(others.clone());
        assert_eq!(door.open(&others).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        door.open(&ours).unwrap();
        let [_, others] = listeners;
        others.set_nonblocking(true).unwrap();
        assert_eq!(others.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn without_its_doorman_a_mind_connects_to_nobody() {
        let (ours, theirs) = Line::pair().unwrap();
        drop(theirs);
        let path = PathBuf::from("/s");
        let door = Door { line: Mutex::new(ours), sockets: vec![path.clone()] };
        assert_eq!(door.open(&path).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
