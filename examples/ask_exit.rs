//! Registers handlers for the signals SIGINT and SIGTERM with `add_signal_handler`,
//! as in asyncio's documentation (18.5.1.23).

use rondel::{EventLoop, EventLoopHandle, Signal};

fn ask_exit(signal: Signal, event_loop: &EventLoopHandle) {
    println!("got signal {signal}: exit");
    event_loop.stop();
}

fn main() -> rondel::Result<()> {
    let event_loop = EventLoop::new()?;
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        event_loop.add_signal_handler(signal, move |event_loop| ask_exit(signal, event_loop))?;
    }

    println!("Event loop running forever, press Ctrl+C to interrupt.");
    println!("pid {}: send SIGINT or SIGTERM to exit.", std::process::id());
    event_loop.run_forever()
}
