//! Another thread schedules by the loop's `Remote`, never by its handle.

use rondel::EventLoopHandle;

fn schedule(event_loop: EventLoopHandle) {
    std::thread::spawn(move || {
        let _ = event_loop.call_soon(|_| ());
    });
}

fn main() {
    let _: fn(EventLoopHandle) = schedule;
}
