//! Pipes, terminals and files, as the tests of pipes and standard streams want them.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read};
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::PathBuf;

/// Makes a pipe whose first end is to be read.
pub fn pipe() -> (PipeReader, PipeWriter) {
    std::io::pipe().expect("a pipe")
}

/// Makes a pseudoterminal: the side that plays it, and the terminal, which changes
/// nothing that passes.
pub fn terminal() -> (File, File) {
    let (mut master, mut slave) = (-1, -1);
    // SAFETY: room for two numbers; nothing else is passed.
    let made = unsafe {
        libc::openpty(
            &raw mut master,
            &raw mut slave,
            core::ptr::null_mut(),
            core::ptr::null(),
            core::ptr::null(),
        )
    };
    assert_eq!(made, 0, "openpty");
    // SAFETY: made above and nobody else's.
    unsafe { (File::from_raw_fd(master), File::from_raw_fd(slave)) }
}

pub fn set_raw(terminal: &File) {
    let mut mode = core::mem::MaybeUninit::<libc::termios>::zeroed();
    // SAFETY: `mode` is good for both, and filled by the first call.
    let is_set = unsafe {
        libc::tcgetattr(terminal.as_raw_fd(), mode.as_mut_ptr());
        libc::cfmakeraw(mode.as_mut_ptr());
        libc::tcsetattr(terminal.as_raw_fd(), libc::TCSANOW, mode.as_ptr())
    };
    assert_eq!(is_set, 0);
}

/// A directory of a test's own, removed with it.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rondel-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).expect("a directory");
        Self(path)
    }

    pub fn fifo(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        let text = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: a C string.
        assert_eq!(unsafe { libc::mkfifo(text.as_ptr(), 0o600) }, 0);
        path
    }

    pub fn file(&self, name: &str, contents: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, contents).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn is_nonblocking(file: &impl AsRawFd) -> bool {
    // SAFETY: no pointers.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) & libc::O_NONBLOCK != 0 }
}

pub fn set_nonblocking(file: &impl AsRawFd) {
    // SAFETY: no pointers.
    unsafe {
        let flags = libc::fcntl(file.as_raw_fd(), libc::F_GETFL);
        libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK);
    }
}

/// Reads what is there; the file must not block.
pub fn drain(file: &mut impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    match file.read_to_end(&mut all) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
    }
    all
}
