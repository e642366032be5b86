//! The program of `examples/two-worlds` on Linux. `examples/bare-metal` runs the
//! same on a microcontroller, and prints the same.
//!
//! With `--manual-clock` nothing sleeps: the clock jumps to the next deadline.

use core::fmt;

use rondel::{Config, EventLoop, EventLoopHandle};
use two_worlds::{World, program};

struct Linux;

impl World for Linux {
    type Context = EventLoopHandle;

    fn print(line: fmt::Arguments<'_>) {
        println!("{line}");
    }
}

fn main() -> Result<(), Box<dyn core::error::Error>> {
    let event_loop = match std::env::args().nth(1).as_deref() {
        None => EventLoop::new()?,
        Some("--manual-clock") => EventLoop::with_manual_clock(Config::default())?.0,
        Some(other) => return Err(format!("unknown option {other}").into()),
    };
    Ok(event_loop.run_until_complete(program::<Linux>(event_loop.handle()))?)
}
