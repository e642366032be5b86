//! What a Cortex-M3 needs to run rondel-core: a driver on SysTick, a signal from
//! an interrupt handler to a task, and, for this example, the board and a way to
//! print through the debugger.
#![no_std]

pub mod board;
pub mod counter;
pub mod memory;
pub mod print;
pub mod signal;
pub mod systick;

use core::panic::PanicInfo;

pub use crate::counter::Counter;
pub use crate::signal::Signal;
pub use crate::systick::SysTickDriver;

/// Ends the program with exit code 1. Without the message: formatting it would
/// put `core::fmt` into every program.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    print::print("panic\n");
    print::exit(false)
}
