//! `run_until_complete` drops the future, and nothing may point into it.

use rondel_core::EventLoop;

fn run(event_loop: &EventLoop) -> usize {
    let mut borrowed = None;
    {
        let name = String::from("local");
        let _ = event_loop.run_until_complete(async {
            borrowed = Some(&name);
        });
    }
    borrowed.map_or(0, |name| name.len())
}

fn main() {
    let _: fn(&EventLoop) -> usize = run;
}
