//! The oracle: scripts that CPython's asyncio executed, executed by rondel. The
//! traces must be the same, iteration by iteration. See `generate.py`.
#![allow(missing_docs, reason = "tests are sentences; nobody imports them")]
#![allow(unreachable_pub, reason = "the modules of one test binary share their items")]
#![allow(unsafe_code, reason = "a context implements a doorbell")]
#![allow(clippy::std_instead_of_core, reason = "tests have std")]

mod machine;
mod replay;
mod script;

use std::panic::{AssertUnwindSafe, catch_unwind};

use rondel_core::Context;

use machine::{Machine, RESTLESS, core_loop, plain_loop, rondel_loop, wheel_loop};
use script::{Op, Script, parse};

/// Minimal scripts of what was found.
const CORPUS: &str = include_str!("corpus.txt");
const SCRIPTS: &str = include_str!("scripts.txt");

/// Is how many scripts may not come to rest when no time passes in callbacks.
const RESTLESS_MAX: usize = 5;

/// Is how many scripts are explained when many fail.
const SHOWN_MAX: usize = 3;

#[test]
fn corpus_on_the_loop_with_a_heap() {
    all(CORPUS, core_loop);
}

#[test]
fn corpus_on_the_loop_with_a_wheel() {
    all(CORPUS, wheel_loop);
}

#[test]
fn scripts_on_the_loop_with_a_heap() {
    all(SCRIPTS, core_loop);
}

#[test]
fn scripts_on_the_loop_with_a_wheel() {
    all(SCRIPTS, wheel_loop);
}

/// The loop of `rondel` does what core's does, in as many iterations.
#[test]
fn scripts_on_the_loop_of_rondel() {
    against_core(CORPUS);
    against_core(SCRIPTS);
}

/// Writes the traces of the scripts of one file to another, for `generate.py
/// --shrink`; without those, looks whether it would write the corpus as it is.
#[test]
fn trace() {
    let named = ["RONDEL_ORACLE_SCRIPTS", "RONDEL_ORACLE_TRACES"].map(std::env::var);
    let [Ok(scripts), Ok(path)] = named else {
        for script in parse(CORPUS) {
            let trace: String = script.trace.iter().map(|line| format!("{line}\n")).collect();
            assert_eq!(traced(&script), format!("= {}\n--\n{trace}", script.name));
        }
        return;
    };
    let text = std::fs::read_to_string(scripts).expect("a file of scripts");
    let traces: String = parse(&text).iter().map(traced).collect();
    std::fs::write(path, traces).expect("the traces are written");
}

/// Replays a script and writes its trace as `generate.py` reads it.
fn traced(script: &Script) -> String {
    let (trace, _) = replay::replay(core_loop(), &script.ops);
    let lines: String = trace.iter().map(|line| format!("{line}\n")).collect();
    format!("= {}\n--\n{lines}", script.name)
}

fn against_core(text: &str) {
    let mut restless = 0;
    let scripts = parse(text).into_iter().filter_map(|script| {
        let (trace, _) = replay(plain_loop(), &script);
        // Where no time passes within callbacks, tasks may come to gather each other.
        let rests = trace != [format!("panicked: {RESTLESS}")];
        restless += usize::from(!rests);
        rests.then_some(Script { trace, ..script })
    });
    same(scripts, rondel_loop, "core");
    assert!(restless <= RESTLESS_MAX, "{restless} scripts do not come to rest");
}

fn all<C: Context>(text: &str, make: fn() -> Machine<C>) {
    same(parse(text).into_iter(), make, "asyncio");
}

/// Requires that scripts leave the traces that `who` made of them.
fn same<C: Context>(scripts: impl Iterator<Item = Script>, make: fn() -> Machine<C>, who: &str) {
    let mut explained = String::new();
    let (mut count, mut failed) = (0, Vec::new());
    for script in scripts {
        count += 1;
        let (trace, lengths) = replay(make(), &script);
        if trace != script.trace {
            if failed.len() < SHOWN_MAX {
                explained += &explain(&script, &trace, &lengths, who);
            }
            failed.push(script.name);
        }
    }
    assert!(
        failed.is_empty(),
        "{explained}\n{} of {count} scripts differ: {}\n\
         tests/oracle/generate.py --shrink NUMBER makes the smallest script that does",
        failed.len(),
        failed.join(" "),
    );
}

/// Replays a script; a panic makes a trace of its own, which differs.
fn replay<C: Context>(machine: Machine<C>, script: &Script) -> (Vec<String>, Vec<usize>) {
    let run = AssertUnwindSafe(|| replay::replay(machine, &script.ops));
    catch_unwind(run).unwrap_or_else(|payload| {
        let message = payload.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or_default();
        (vec![format!("panicked: {message}")], vec![0])
    })
}

/// Shows the first line that differs, and the operations up to there.
fn explain(script: &Script, trace: &[String], lengths: &[usize], who: &str) -> String {
    const CONTEXT: usize = 6;
    let at = (0..).find(|&at| trace.get(at) != script.trace.get(at)).unwrap_or(0);
    let begun = lengths.iter().filter(|&&length| length <= at).count();
    let mut text = format!("\nscript {}, line {}, executed up to:\n", script.name, at + 1);
    let prefix: Vec<String> = script.ops.iter().take(begun).map(Op::to_string).collect();
    text += &prefix.join("\n");
    for (who, lines) in [(who, &script.trace[..]), ("rondel", trace)] {
        text += &format!("\n{who}:\n");
        for (index, line) in lines.iter().enumerate().skip(at.saturating_sub(CONTEXT)).take(2 * CONTEXT) {
            text += &format!("{} {line}\n", if index == at { "->" } else { "  " });
        }
    }
    text
}
