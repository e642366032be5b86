//! The memory of a loop stays where it is (FAULTS W-16): only a static is taken
//! from, and nobody moves a static.

use rondel_core::Storage;

static STORAGE: Storage<4, 1, 1, 64> = Storage::new();

fn move_a_local() {
    let local = Storage::<4, 1, 1, 64>::new();
    let memory = local.take();
    let moved = local;
    drop((memory, moved));
}

fn move_a_static() {
    let memory = STORAGE.take();
    let moved = STORAGE;
    drop((memory, moved));
}

fn main() {
    move_a_local();
    move_a_static();
}
