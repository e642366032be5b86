//! What becomes of a child process that was asked for.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use std::rc::Rc;

use super::builder::CreateSubprocess;
use super::child::Child;
use super::handle::Process;
use super::pipes;
use super::protocol::SubprocessProtocol;
use super::subprocess::Subprocess;
use super::transport::SubprocessTransport;
use crate::protocol::{ProtocolRef, Seat, kind};
use crate::streams;
use crate::{Error, Result};

/// Makes a [`Process`].
#[derive(Clone, Copy, Debug)]
pub struct AsProcess {
    pub(super) limit: usize,
    pub(super) kill_on_drop: bool,
}

impl Default for AsProcess {
    fn default() -> Self {
        Self { limit: streams::DEFAULT_LIMIT, kill_on_drop: false }
    }
}

/// Makes a [`SubprocessTransport`] with a protocol.
pub struct AsTransport<F>(pub(super) F);

impl<F> fmt::Debug for AsTransport<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AsTransport")
    }
}

impl IntoFuture for CreateSubprocess<AsProcess> {
    type Output = Result<Process>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<Process>>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { event_loop, launch, target, location } = self;
            let reserved = Child::reserve(&event_loop, &launch.program, location)?;
            let (ours, theirs) = pipes::open(&event_loop, &launch, location)?;
            let child = reserved.start(&launch.command(theirs.sources)?)?;
            Ok(Process::new(child, ours, target.limit, target.kill_on_drop))
        })
    }
}

impl<F, P> IntoFuture for CreateSubprocess<AsTransport<F>>
where
    F: FnOnce() -> P + 'static,
    P: SubprocessProtocol,
{
    type Output = Result<(SubprocessTransport, ProtocolRef<P>)>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { event_loop, launch, target: AsTransport(factory), location } = self;
            let reserved = Child::reserve(&event_loop, &launch.program, location)?;
            let (ours, theirs) = pipes::open(&event_loop, &launch, location)?;
            let command = launch.command(theirs.sources)?;
            let seat = Seat::<P, kind::Subprocess>::new(factory());
            let subprocess = Subprocess::new(reserved.child(), ours, Rc::<Seat<P, _>>::clone(&seat) as _)?;
            if let Err(error) = reserved.start(&command) {
                subprocess.forget();
                return Err(error);
            }
            // Only now, because until then the child's ends of its pipes are ours too.
            drop((theirs, launch));
            let transport = SubprocessTransport::new(subprocess);
            let unwanted = CloseOnDrop(&transport);
            transport.made().await?;
            core::mem::forget(unwanted);
            Ok::<_, Error>((transport, ProtocolRef::new(seat)))
        })
    }
}

/// Ends a process whose creator goes away before it gets it (contract SB-11).
struct CloseOnDrop<'a>(&'a SubprocessTransport);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}
