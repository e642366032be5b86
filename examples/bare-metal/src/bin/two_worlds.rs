//! The program of `examples/two-worlds` on the microcontroller. The example
//! `two_worlds` runs the same on Linux, and prints the same.
#![no_std]
#![no_main]

use core::fmt;

use bare_metal::{SysTickDriver, board, print};
use cortex_m_rt::entry;
use rondel_core::{EventLoop, EventLoopHandle, Storage};
use two_worlds::{World, program};

static STORAGE: Storage<16, 4, 8, 1024> = Storage::new();

struct Board;

impl World for Board {
    type Context = EventLoopHandle;

    fn print(line: fmt::Arguments<'_>) {
        print::print_line(line);
    }
}

#[entry]
fn main() -> ! {
    print::exit(run().is_some());
}

fn run() -> Option<()> {
    let systick = cortex_m::Peripherals::take()?.SYST;
    let driver = cortex_m::singleton!(: SysTickDriver<{ board::HZ }> = SysTickDriver::new(systick))?;
    let event_loop = EventLoop::new(STORAGE.take()?, driver);
    let ended = event_loop.run_until_complete(program::<Board>(event_loop.handle()));
    match ended.ok()? {
        Ok(()) => Some(()),
        Err(error) => {
            print::print_line(format_args!("failed: {error:?}"));
            None
        }
    }
}
