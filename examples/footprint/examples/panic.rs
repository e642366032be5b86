//! What becomes of a panic in a program of the profile `footprint`, which doesn't unwind: the message of
//! the standard library, with the place, and the end by `SIGABRT`. No handler hears of it, and nothing
//! that was scheduled behind it runs.
//!
//! ```text
//! $ cargo build --profile footprint -p footprint --example panic
//! $ target/footprint/examples/panic
//! ```

use rondel::{EventLoopHandle, Result};

fn main() -> Result<()> {
    rondel::run(async |event_loop| {
        event_loop.set_exception_handler(|_, _| println!("reported"));
        event_loop.call_soon(fail)?;
        event_loop.call_soon(|_| println!("goes on"))?;
        Ok(event_loop.yield_now().await?)
    })
}

fn fail(_: &EventLoopHandle) {
    panic!("oops");
}
