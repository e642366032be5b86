//! Where operations come from: at random, and one by one.

use alloc::vec;
use alloc::vec::Vec;

use fastrand::Rng;

use crate::ops::{Capacity, ENDLESS, NEWEST, Op, Pick, Script, Step, Task};

/// Is a nanosecond, less and more than a bucket of the timer wheel, and far away.
const DELAYS: [u64; 7] = [0, 1, 7, 65_000, 70_000, 5_000_000, 9_000_000_000];

fn pick(rng: &mut Rng) -> Pick {
    if rng.bool() { NEWEST } else { rng.u8(0..8) }
}

fn delay(rng: &mut Rng) -> u64 {
    DELAYS[rng.usize(..DELAYS.len())]
}

fn script(rng: &mut Rng, depth: u32) -> Script {
    let len = if depth == 0 || rng.u8(0..3) == 0 { 0 } else { rng.usize(0..4) };
    (0..len).map(|_| op(rng, depth - 1)).collect()
}

/// Makes an operation that may happen anywhere.
fn op(rng: &mut Rng, depth: u32) -> Op {
    match rng.u8(0..38) {
        0..=4 => Op::Soon(script(rng, depth)),
        5 => Op::SoonFails(script(rng, depth)),
        6..=9 => Op::Later(delay(rng), script(rng, depth)),
        10..=12 => Op::Cancel(pick(rng)),
        13 => Op::DropHandle(pick(rng)),
        14..=16 => Op::NewFuture,
        17..=18 => Op::SetResult(pick(rng)),
        19 => Op::SetException(pick(rng)),
        20 => Op::CancelFuture(pick(rng)),
        21..=22 => Op::DropFuture(pick(rng)),
        23..=24 => Op::AddDone(pick(rng), script(rng, depth)),
        25 => Op::RemoveDone(pick(rng)),
        26..=29 => Op::Spawn(task(rng, depth)),
        30..=31 => Op::CancelTask(pick(rng)),
        32 => Op::Abort(pick(rng)),
        33..=34 => Op::DropTask(pick(rng)),
        35 => Op::AddTaskDone(pick(rng), script(rng, depth)),
        36 => Op::Stop,
        _ => Op::Advance(delay(rng)),
    }
}

fn task(rng: &mut Rng, depth: u32) -> Task {
    let steps = (0..rng.usize(0..4)).map(|_| step(rng, depth)).collect();
    Task { steps, swallows: rng.u8(0..3) == 0 }
}

fn step(rng: &mut Rng, depth: u32) -> Step {
    match rng.u8(0..16) {
        0..=2 if depth > 0 => Step::Do(op(rng, depth - 1)),
        0..=5 => Step::Await(pick(rng)),
        6 => Step::Wait(pick(rng)),
        7..=8 => Step::AwaitTask(pick(rng)),
        9 => Step::WaitTask(pick(rng)),
        10..=11 => Step::Sleep(delay(rng)),
        12 => Step::Yield,
        13..=14 => Step::Timeout(delay(rng), pick(rng)),
        _ => Step::Fail,
    }
}

/// Makes `len` operations, one after the other.
pub fn ops(rng: &mut Rng, len: usize) -> impl Iterator<Item = Op> + '_ {
    let closes = rng.usize(len / 2..len * 2);
    (0..len).map(move |place| match rng.u8(0..12) {
        _ if place == closes => Op::Close,
        0..=2 => Op::Turn,
        3 => Op::Once,
        4 => Op::Advance(delay(rng)),
        _ => op(rng, 2),
    })
}

/// Makes a capacity out of `sizes`.
pub fn capacity(rng: &mut Rng, sizes: &[usize]) -> Capacity {
    let mut any = || sizes[rng.usize(..sizes.len())];
    Capacity(any().max(1), any(), any(), ENDLESS)
}

const OLDEST: Pick = 0;

/// Returns the operations that sequences are made of. With room for little there
/// are fewer states, and time for more operations.
pub fn alphabet(size: usize) -> Vec<Op> {
    let task = |step| Op::Spawn(Task { steps: vec![step], swallows: false });
    let mut ops = vec![
        Op::Soon(vec![]),
        Op::Later(1, vec![]),
        // Far enough to lie in the next bucket of the wheel.
        Op::Later(70_000, vec![]),
        Op::Cancel(OLDEST),
        Op::Cancel(NEWEST),
        Op::DropHandle(OLDEST),
        Op::NewFuture,
        Op::SetResult(NEWEST),
        Op::CancelFuture(NEWEST),
        Op::DropFuture(OLDEST),
        Op::AddDone(NEWEST, vec![]),
        task(Step::Await(NEWEST)),
        task(Step::Sleep(1)),
        task(Step::Yield),
        Op::CancelTask(NEWEST),
        Op::Abort(NEWEST),
        Op::DropTask(OLDEST),
        Op::Turn,
        Op::Once,
        Op::Advance(1),
    ];
    if size < 3 {
        ops.extend([
            Op::SetException(NEWEST),
            Op::RemoveDone(NEWEST),
            Op::AddTaskDone(NEWEST, vec![]),
            task(Step::Wait(NEWEST)),
            task(Step::AwaitTask(NEWEST)),
            task(Step::Timeout(1, NEWEST)),
            task(Step::Fail),
            Op::Stop,
            Op::Close,
        ]);
    }
    ops
}
