//! Children that fail.

use std::io;

use super::FaultyKernel;
use crate::faults::Operation;
use crate::sys::Kernel;
use crate::sys::child::{self, Child, Command, Exit, SpawnError, Stage, WaitBy};
use crate::sys::fd::Fd;
use crate::sys::processes::Processes;

impl Processes for FaultyKernel {
    fn spawn(&self, command: &Command) -> Result<Child, SpawnError> {
        self.before(Operation::Spawn, Fd::NONE).map_err(SpawnError::at(Stage::Clone))?;
        match self.before(Operation::OpenPidfd, Fd::NONE) {
            Ok(()) => self.kernel.processes().spawn(command),
            // As on a system that has none.
            Err(_) => child::spawn(command, WaitBy::Thread),
        }
    }

    fn try_wait(&self, child: Child) -> io::Result<Option<Exit>> {
        match self.before(Operation::WaitChild, child.watched()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
            Ok(()) => self.kernel.processes().try_wait(child),
        }
    }

    fn signal_child(&self, child: Child, signal: i32) -> io::Result<()> {
        self.before(Operation::SignalChild, Fd::NONE)?;
        self.kernel.processes().signal_child(child, signal)
    }

    fn reap_killed(&self, child: Child) -> Option<Exit> {
        self.kernel.processes().reap_killed(child)
    }

    fn open_null(&self) -> io::Result<Fd> {
        self.kernel.processes().open_null()
    }

    fn reap_later(&self, child: Child) {
        self.kernel.processes().reap_later(child);
    }

    fn reap_orphans(&self, spared: &mut Vec<i32>) -> Vec<(i32, Exit)> {
        self.kernel.processes().reap_orphans(spared)
    }

    fn set_child_subreaper(&self, is_subreaper: bool) -> io::Result<()> {
        self.kernel.processes().set_child_subreaper(is_subreaper)
    }
}
