//! The function that makes a task goes to the loop's thread; the task itself is
//! made there and may hold what can't be sent.

use std::rc::Rc;

use rondel::Remote;

fn create(remote: &Remote, shared: Rc<u32>) {
    let _ = remote.create_task(move |_| async move { *shared });
}

fn main() {
    let _: fn(&Remote, Rc<u32>) = create;
}
