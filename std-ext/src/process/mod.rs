//! Child processes.
//!
//! ```text
//!  create_subprocess_exec, _shell --> CreateSubprocess --> Launch --> Command of the seam
//!  subprocess_exec, _shell                   |
//!                                            v
//!                    Process --refers to--> Child   one for each process, in the table of the loop,
//!                      |                      |     until it has exited and was reaped
//!                      v                      v
//!        streams of its pipes              Subprocess  with a protocol, driven by a handler, until
//!                                             |        the process and its pipes have ended
//!                                             v
//!                                          connections of its pipes
//! ```
//!
//! The loop has its `Child` for as long as the process lives, whatever becomes of those who asked for
//! it: that is why none becomes a zombie.

mod builder;
mod create;
mod launch;
mod pipe_protocol;
mod pipes;
mod stdio;

mod communicate;
mod handle;

mod protocol;
mod subprocess;
mod transport;

mod child;
mod status;

mod orphans;

pub(crate) use child::{Children, Ending};

pub use builder::CreateSubprocess;
pub use communicate::{Communicate, Output};
pub use create::{AsProcess, AsTransport};
pub use handle::Process;
pub use launch::ProcessLimit;
pub use orphans::OrphanReaper;
pub use protocol::SubprocessProtocol;
pub use status::ExitStatus;
pub use stdio::Stdio;
pub use transport::SubprocessTransport;
