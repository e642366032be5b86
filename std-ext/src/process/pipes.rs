//! The standard descriptors of a child, while it is being started.

use core::panic::Location;
use std::os::fd::AsRawFd;
use std::rc::Rc;

use super::launch::Launch;
use super::stdio::{Source, Stdio};
use crate::net::connection::{Connection, PipeEnd};
use crate::sources::Direction;
use crate::sys::Fd;
use crate::{EventLoopHandle, Result};

/// The ends of a child's pipes that stay here; they are closed with this.
#[derive(Default)]
pub(super) struct OurEnds {
    pub(super) stdin: Option<Rc<Connection>>,
    pub(super) stdout: Option<Rc<Connection>>,
    pub(super) stderr: Option<Rc<Connection>>,
}

/// The descriptors that become the child's 0, 1 and 2. Those that were opened for it are closed with
/// this.
#[derive(Default)]
pub(super) struct TheirEnds {
    pub(super) sources: [i32; 3],
    opened: Vec<Opened>,
}

/// Makes and opens what a child is to get.
///
/// # Errors
/// As `pipe2` and `open`, or if a table is full; nothing is left then.
pub(super) fn open(
    event_loop: &EventLoopHandle,
    launch: &Launch,
    location: &'static Location<'static>,
) -> Result<(OurEnds, TheirEnds)> {
    let (mut ours, mut theirs) = (OurEnds::default(), TheirEnds::default());
    ours.stdin = theirs.open(event_loop, 0, &launch.stdin, location)?;
    ours.stdout = theirs.open(event_loop, 1, &launch.stdout, location)?;
    match &launch.stderr {
        Some(stderr) => ours.stderr = theirs.open(event_loop, 2, stderr, location)?,
        None => theirs.sources[2] = theirs.sources[1],
    }
    Ok((ours, theirs))
}

impl TheirEnds {
    /// Decides what the child's descriptor `target` is made of, and returns our end if it is a pipe.
    fn open(
        &mut self,
        event_loop: &EventLoopHandle,
        target: usize,
        stdio: &Stdio,
        location: &'static Location<'static>,
    ) -> Result<Option<Rc<Connection>>> {
        let kernel = &event_loop.inner.kernel;
        self.sources[target] = match &stdio.0 {
            Source::Inherit => target as i32,
            Source::Descriptor(descriptor) => descriptor.as_raw_fd(),
            Source::Null => self.keep(event_loop, kernel.processes().open_null()?),
            Source::Pipe => {
                let (reader, writer) = kernel.pipe()?;
                let (our, their, direction) = if target == 0 {
                    (writer, reader, Direction::Write)
                } else {
                    (reader, writer, Direction::Read)
                };
                self.sources[target] = self.keep(event_loop, their);
                let end = PipeEnd::made(event_loop, our, direction)?;
                return Ok(Some(Connection::of_pipe(event_loop, end, location)?));
            }
        };
        Ok(None)
    }

    fn keep(&mut self, event_loop: &EventLoopHandle, fd: Fd) -> i32 {
        self.opened.push(Opened { event_loop: event_loop.clone(), fd });
        fd.as_raw()
    }
}

/// A descriptor that was opened for the child.
struct Opened {
    event_loop: EventLoopHandle,
    fd: Fd,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.event_loop.inner.kernel.close(self.fd);
    }
}
