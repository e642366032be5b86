//! A closure may capture 24 bytes.

use rondel_core::EventLoopHandle;

fn schedule(event_loop: &EventLoopHandle) {
    let captured = [1_u64; 3];
    let _ = event_loop.call_soon(move |_| captured.len());
}

fn main() {
    let _: fn(&EventLoopHandle) = schedule;
}
