//! Both schedulers side by side, and the smallest script on which they differ.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::both::Both;
use crate::ops::{Capacity, Event, Op, Script, Step};
use crate::reference::Reference;

/// Runs `ops` on both and says where they differ first.
fn compare<const WHEEL: bool>(capacity: Capacity, ops: &[Op]) -> Result<(), String> {
    let mut both = Both::<WHEEL>::new(capacity);
    ops.iter().try_for_each(|op| both.apply(op))
}

/// Returns everything that can be seen of `ops` on the reference.
pub fn reference(capacity: Capacity, ops: &[Op]) -> Vec<Event> {
    let mut model = Reference::new(capacity);
    for op in ops {
        model.apply(op);
    }
    model.trace
}

fn fails<const WHEEL: bool>(capacity: Capacity, ops: &[Op]) -> Option<String> {
    let run = catch_unwind(AssertUnwindSafe(|| compare::<WHEEL>(capacity, ops).err()));
    run.unwrap_or_else(|_| Some("a panic".to_owned()))
}

/// Fails with the smallest script found if core and reference differ.
///
/// # Panics
/// Then.
pub fn check<const WHEEL: bool>(capacity: Capacity, ops: &[Op], name: &str) {
    let Some(difference) = fails::<WHEEL>(capacity, ops) else { return };
    let small = shrink(ops.to_vec(), &|ops| fails::<WHEEL>(capacity, ops).is_some());
    let shown = format!("{small:?}").replace('[', "vec![");
    let small_difference = fails::<WHEEL>(capacity, &small).unwrap_or_default();
    panic!(
        "core and reference differ: {name}, wheel {WHEEL}, {capacity:?}\n{difference}\n\
         the smallest script:\n({capacity:?}, {shown}),\n{small_difference}"
    );
}

/// Takes away what can go: long stretches first, then single operations, then
/// what is within them.
fn shrink(mut ops: Script, fails: &impl Fn(&[Op]) -> bool) -> Script {
    loop {
        let before = ops.clone();
        let mut stretch = ops.len() / 2;
        while stretch > 0 {
            let mut at = 0;
            while at + stretch <= ops.len() {
                let mut shorter = ops.clone();
                shorter.drain(at..at + stretch);
                if fails(&shorter) {
                    ops = shorter;
                } else {
                    at += stretch;
                }
            }
            stretch /= 2;
        }
        for at in 0..ops.len() {
            while let Some(simpler) = simpler(&ops[at]).into_iter().find_map(|op| {
                let mut changed = ops.clone();
                changed[at] = op;
                fails(&changed).then_some(changed)
            }) {
                ops = simpler;
            }
        }
        if ops == before {
            return ops;
        }
    }
}

/// Returns operations with a little less in them.
fn simpler(op: &Op) -> Vec<Op> {
    match op {
        Op::Soon(ops) => simpler_scripts(ops).map(Op::Soon).collect(),
        Op::SoonFails(ops) => {
            std::iter::once(Op::Soon(ops.clone())).chain(simpler_scripts(ops).map(Op::SoonFails)).collect()
        }
        Op::Later(delay, ops) => simpler_scripts(ops).map(|ops| Op::Later(*delay, ops)).collect(),
        Op::AddDone(pick, ops) => simpler_scripts(ops).map(|ops| Op::AddDone(*pick, ops)).collect(),
        Op::AddTaskDone(pick, ops) => simpler_scripts(ops).map(|ops| Op::AddTaskDone(*pick, ops)).collect(),
        Op::Spawn(task) => simpler_lists(&task.steps, |step| match step {
            Step::Do(op) => simpler(op).into_iter().map(Step::Do).collect(),
            _ => Vec::new(),
        })
        .into_iter()
        .map(|steps| Op::Spawn(crate::ops::Task { steps, swallows: task.swallows }))
        .collect(),
        _ => Vec::new(),
    }
}

fn simpler_scripts(ops: &Script) -> impl Iterator<Item = Script> {
    simpler_lists(ops, simpler).into_iter()
}

fn simpler_lists<T: Clone>(list: &[T], simpler: impl Fn(&T) -> Vec<T>) -> Vec<Vec<T>> {
    let mut lists = Vec::new();
    for at in 0..list.len() {
        let mut shorter = list.to_vec();
        shorter.remove(at);
        lists.push(shorter);
    }
    for at in 0..list.len() {
        for item in simpler(&list[at]) {
            let mut changed = list.to_vec();
            changed[at] = item;
            lists.push(changed);
        }
    }
    lists
}
