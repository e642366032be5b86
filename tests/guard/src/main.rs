//! Uses the whole public interface of rondel-core, and nothing else at all.
//!
//! Exits with 0 if the loop behaves, and otherwise says where it doesn't.
//!
//! `.ci/run guard` counts the panics that are left in the binary, and compares
//! their number with the one in `panicking-symbols`. Two are: the one that the
//! compiler puts into every `async` block, and that of a table which is entered
//! twice (`core/src/exclusive.rs`), a defect of core itself. Arithmetic can't
//! panic in a release build, and nothing else in core does.
#![no_std]
#![no_main]

mod calls;
mod check;
mod futures;
mod hooks;
mod start;
mod tasks;
mod wheel;

use rondel_core::{EventLoop, ManualDriver, Storage};

use crate::check::{Checked, OrFail, check};

/// Is shared by a program that has one thread.
struct OneThread<T>(T);

// SAFETY: there is no second thread.
unsafe impl<T> Sync for OneThread<T> {}

static STORAGE: Storage<16, 4, 4, 512> = Storage::new();
static DRIVER: OneThread<ManualDriver> = OneThread(ManualDriver::new());

extern "C" fn main() -> ! {
    match scenarios() {
        Ok(()) => start::exit(0),
        Err(location) => {
            start::print("guard: failed at ");
            start::print(location.file());
            start::print(":");
            start::print_number(location.line());
            start::print("\n");
            start::exit(1)
        }
    }
}

fn scenarios() -> Checked {
    let event_loop = EventLoop::new(STORAGE.take().or_fail()?, &DRIVER.0);
    check(STORAGE.take().is_none())?;
    calls::scenario(&event_loop)?;
    futures::scenario(&event_loop)?;
    tasks::scenario(&event_loop)?;
    hooks::scenario(&event_loop, &DRIVER.0)?;
    wheel::scenario(&DRIVER.0)?;

    let statistics = event_loop.statistics();
    check(statistics.calls.live == 0 && statistics.calls.peak == 16)?;
    check(statistics.futures.live == 0 && statistics.tasks.live == 0)?;
    check(statistics.ready == 0 && statistics.timers == 0 && statistics.tasks_retired == 0)?;
    hooks::close(event_loop)
}
