//! A task is awaited and cancelled only in its loop's thread.

use rondel_core::Task;

fn send(task: Task<u32>) {
    std::thread::spawn(move || task.cancel());
}

fn main() {
    let _: fn(Task<u32>) = send;
}
