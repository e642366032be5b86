//! The files of UNIX sockets: who may remove them, and when.

use std::io;
use std::path::Path;
use std::rc::Rc;

use crate::net::address::Address;
use crate::sys::{Family, Fd, Kernel, SocketKind};

/// The file of a socket that is ours, which goes when its owner says so, if it is
/// still the same file (contract UX-6).
pub(crate) struct SocketFile {
    kernel: Rc<dyn Kernel>,
    path: Box<Path>,
    device_and_inode: (u64, u64),
}

impl SocketFile {
    /// Removes the file, if nobody else has put another in its place.
    pub(crate) fn remove(&self) {
        let found = self.kernel.file_at(&self.path);
        if found.is_ok_and(|found| found.device_and_inode == self.device_and_inode) {
            let _ = self.kernel.unlink(&self.path);
        }
    }
}

/// Binds a socket, over the file that a dead one left behind if need be
/// (UX-2, FAULTS X-02). Returns the file that it made, if it made one.
///
/// # Errors
/// As `bind`; `AddrInUse` also if a live socket, or something else, is at the
/// path: that is left alone (UX-3).
pub(crate) fn bind(
    kernel: &Rc<dyn Kernel>,
    fd: Fd,
    addr: &Address,
    kind: SocketKind,
) -> io::Result<Option<SocketFile>> {
    let path = addr.as_unix().and_then(|addr| addr.as_path());
    match (kernel.bind(fd, addr), path) {
        (Err(error), Some(path)) if error.kind() == io::ErrorKind::AddrInUse => {
            if !is_left_behind(&**kernel, path, addr, kind) {
                return Err(error);
            }
            kernel.unlink(path)?;
            kernel.bind(fd, addr)?;
        }
        (bound, _) => bound?,
    }
    let Some(path) = path else { return Ok(None) };
    let device_and_inode = kernel.file_at(path)?.device_and_inode;
    Ok(Some(SocketFile { kernel: Rc::clone(kernel), path: path.into(), device_and_inode }))
}

/// Tells whether the file at `path` is a socket that nobody listens on.
fn is_left_behind(kernel: &dyn Kernel, path: &Path, addr: &Address, kind: SocketKind) -> bool {
    if !kernel.file_at(path).is_ok_and(|found| found.is_socket) {
        return false;
    }
    let Ok(probe) = kernel.socket(Family::Unix, kind, 0) else { return false };
    let answer = kernel.connect(probe, addr);
    kernel.close(probe);
    // A live one answers, or is busy, or is of another kind.
    answer.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}
