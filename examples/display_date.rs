//! Displays the current date each second for five seconds with `call_later`, as
//! in asyncio's documentation (18.5.1.21).

use core::time::Duration;

use jiff::Zoned;
use rondel::{EventLoop, EventLoopHandle, Instant};

fn display_date(end_time: Instant, event_loop: &EventLoopHandle) -> rondel::Result<()> {
    println!("{}", Zoned::now().strftime("%Y-%m-%d %H:%M:%S%.6f"));
    if event_loop.time() + Duration::from_secs(1) < end_time {
        event_loop
            .call_later(Duration::from_secs(1), move |event_loop| display_date(end_time, event_loop))?;
    } else {
        event_loop.stop();
    }
    Ok(())
}

fn main() -> rondel::Result<()> {
    let event_loop = EventLoop::new()?;

    // Schedule the first call to display_date.
    let end_time = event_loop.time() + Duration::from_secs(5);
    event_loop.call_soon(move |event_loop| display_date(end_time, event_loop))?;

    // Blocking call interrupted by event_loop.stop().
    event_loop.run_forever()
}
