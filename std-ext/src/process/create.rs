//! What becomes of a child process that was asked for.

use core::future::Future;
use core::pin::Pin;

use super::builder::CreateSubprocess;
use super::child::Child;
use super::handle::Process;
use super::pipes;
use crate::Result;
use crate::streams;

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

impl IntoFuture for CreateSubprocess<AsProcess> {
    type Output = Result<Process>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<Process>>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { event_loop, launch, target } = self;
            let reserved = Child::reserve(&event_loop)?;
            let (ours, theirs) = pipes::open(&event_loop, &launch)?;
            let child = reserved.start(&launch.command(theirs.sources)?)?;
            Ok(Process::new(child, ours, target.limit, target.kill_on_drop))
        })
    }
}
