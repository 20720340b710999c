//! Telling a service manager how it goes, as `sd_notify(3)` does: one datagram to the socket that
//! `NOTIFY_SOCKET` names.
//!
//! Nobody who listens is the usual case and no error: started by hand there is no such socket. What
//! is said is a hint for the manager, and nothing that a steward does depends on it.

use std::{io, os::unix::net::UnixDatagram};

/// The variable that a service manager sets.
const SOCKET: &str = "NOTIFY_SOCKET";

/// Says `state` (`READY=1`, `STOPPING=1`) to the service manager, if there is one.
pub fn notify(state: &str) {
    let Some(socket) = std::env::var_os(SOCKET) else { return };
    if let Err(error) = send(&socket, state) {
        tracing::warn!(%error, socket = %socket.display(), "the service manager was not told");
    }
}

fn send(socket: &std::ffi::OsStr, state: &str) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt as _;
    let speaker = UnixDatagram::unbound()?;
    match socket.as_bytes().split_first() {
        #[cfg(target_os = "linux")]
        Some((b'@', name)) => {
            use std::os::{linux::net::SocketAddrExt as _, unix::net::SocketAddr};
            speaker.connect_addr(&SocketAddr::from_abstract_name(name)?)?;
        }
        Some((b'/', _)) => speaker.connect(socket)?,
        _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no path")),
    }
    speaker.send(state.as_bytes()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_hears_by_path_and_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let ear = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), "READY=1").unwrap();
        let mut heard = [0; 64];
        let length = ear.recv(&mut heard).unwrap();
        assert_eq!(&heard[..length], b"READY=1");
        assert!(send("relative".as_ref(), "READY=1").is_err());
        #[cfg(target_os = "linux")]
        {
            use std::os::{linux::net::SocketAddrExt as _, unix::net::SocketAddr};
            let name = format!("marque-test-{}", std::process::id());
            let address = SocketAddr::from_abstract_name(&name).unwrap();
            let ear = UnixDatagram::bind_addr(&address).unwrap();
            send(format!("@{name}").as_ref(), "STOPPING=1").unwrap();
            let length = ear.recv(&mut heard).unwrap();
            assert_eq!(&heard[..length], b"STOPPING=1");
        }
    }
}
