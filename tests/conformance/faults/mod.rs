//! The fault catalogue, row by row, where no other module shows the row.

mod accepting;
mod capacity;
mod clocks;
mod lifetimes;
mod readiness;
mod silence;
mod time;

use core::time::Duration;

const MS: Duration = Duration::from_millis(1);
