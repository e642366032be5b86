//! The seam to the operating system, and the only place that names `libc` and `mio`.
//!
//! The loop is *given* its world: whatever it wants from outside it asks of one [`Kernel`], held as
//! `Rc<dyn Kernel>`. A virtual call costs nothing beside a system call, and in exchange the same
//! program runs unmodified on each of them:
//!
//! | kernel | descriptors | clock | a wait with nothing ready |
//! |---|---|---|---|
//! | [`RealKernel`] | real | `CLOCK_MONOTONIC` or `CLOCK_BOOTTIME` | sleeps |
//! | [`ManualKernel`] | real | the test moves it | jumps to the deadline |
//! | [`FaultyKernel`] | real, with answers from a script | the test moves it | jumps to the deadline |
//! | [`NullKernel`] | none | moves by waits | jumps to the deadline |
//!
//! Inside the seam a descriptor is a plain number, [`Fd`]; it is closed by its owner through the
//! kernel that made it. [`Doorbell`] is the one thing here that other threads and signal handlers
//! may touch.
//!
//! Where is what:
//!
//! | module | noun |
//! |---|---|
//! | [`kernel`] | what the loop asks for, in a trait for each noun |
//! | [`real`], [`manual`], [`faulty`], [`null`] | the kernels; [`descriptors`], what those with real ones share |
//! | [`fd`] | descriptors, tokens, events |
//! | [`poller`], [`forks`] | readiness, by mio; whose it is after a fork |
//! | [`doorbell`], [`gate`] | waking, also while it is closed |
//! | [`clock`] | time, and exact deadlines |
//! | [`socket`], [`datagrams`], [`address`] | the calls of sockets |
//! | [`mod@file`], [`pipe`], [`lent`], [`sigpipe`], [`terminal`] | the calls of files |
//! | [`child`], [`worker`], [`processes`] | processes; those of a pool; by whom they are started |
//! | [`threads`], [`signals`] | threads; signals |
//! | [`names`], [`entropy`] | the system's resolver; what nobody can foresee |
//! | [`inherited`], [`limits`] | what the process was given, and may use |
//! | [`memory`], [`syscall`] | the memory of tables; how errors are read |

mod kernel;

mod descriptors;
mod faulty;
#[allow(dead_code, reason = "chosen by tests alone; always compiled, so that the seam stays honest")]
mod manual;
#[allow(dead_code, reason = "chosen by tests alone; always compiled, so that the seam stays honest")]
mod null;
mod real;

mod address;
pub(crate) mod child;
mod clock;
mod datagrams;
mod doorbell;
mod entropy;
mod fd;
mod file;
mod forks;
mod gate;
pub(crate) mod inherited;
mod lent;
mod limits;
pub(crate) mod memory;
pub(crate) mod names;
mod pipe;
mod poller;
mod processes;
pub(crate) mod signals;
mod sigpipe;
mod socket;
mod syscall;
pub(crate) mod terminal;
mod threads;
pub(crate) mod worker;

#[cfg(test)]
mod tests;

pub(crate) use clock::ThreadClock;
pub(crate) use datagrams::{ReceiveBatch, SendBatch};
pub(crate) use doorbell::Doorbell;
pub(crate) use faulty::FaultyKernel;
pub(crate) use fd::{Event, Events, Fd, Interest, Token};
pub(crate) use file::FileKind;
pub(crate) use kernel::{Kernel, Time};
pub(crate) use limits::Limited;
pub(crate) use manual::ManualKernel;
pub(crate) use null::NullKernel;
pub(crate) use real::RealKernel;
pub(crate) use socket::{Family, Received, SocketKind, SocketOption, prepare};
pub(crate) use syscall::{
    is_always_ready, is_family_unknown, is_of_one_connection, is_out_of_resources, is_terminal_gone,
};
pub(crate) use threads::{RealThreads, Threads};
