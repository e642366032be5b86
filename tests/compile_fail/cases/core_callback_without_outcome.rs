//! What a callback returns must show whether it failed.

use rondel_core::EventLoopHandle;

struct Reading(u16);

fn schedule(event_loop: &EventLoopHandle) {
    let _ = event_loop.call_soon(|_| Reading(3));
}

fn main() {
    let _: fn(&EventLoopHandle) = schedule;
}
