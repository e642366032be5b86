//! Child processes.
//!
//! ```text
//!  create_subprocess_exec, _shell --> CreateSubprocess --> Launch --> Command of the seam
//!                                            |
//!                                            v
//!                    Process --refers to--> Child   one for each process, in the table of the loop,
//!                      |                            until it has exited and was reaped
//!                      v
//!                    streams of its pipes, whose other ends the process has
//! ```
//!
//! The loop has its `Child` for as long as the process lives, whatever becomes of those who asked for
//! it: that is why none becomes a zombie.

mod builder;
mod create;
mod launch;
mod pipes;
mod stdio;

mod communicate;
mod handle;

mod child;
mod status;

pub(crate) use child::Children;

pub use builder::CreateSubprocess;
pub use communicate::{Communicate, Output};
pub use create::AsProcess;
pub use handle::Process;
pub use launch::ProcessLimit;
pub use status::ExitStatus;
pub use stdio::Stdio;
