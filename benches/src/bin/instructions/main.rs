//! Repeats one operation of a loop, for callgrind to count its instructions.
//!
//! ```text
//! instructions LOOP OPERATION COUNT      runs COUNT times OPERATION on LOOP
//! instructions                           lists all pairs of LOOP and OPERATION
//! ```
//!
//! What a program takes for two counts, subtracted and divided by the difference
//! of the counts, is what one operation takes: what comes before and after it
//! cancels out. `.ci/instructions` does that.

mod echoes;
mod operations;
mod subject;

use crate::operations::{OF_RONDEL, Operation, of_every_loop};
use crate::subject::{Core, Rondel, Subject};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let of_rondel = [of_every_loop(), OF_RONDEL].concat();
    match args[..] {
        [] => {
            list("core", of_every_loop::<Core>());
            list("rondel", &of_rondel);
        }
        ["core", operation, count] => run(&Core::new(), of_every_loop(), operation, count),
        ["rondel", operation, count] => run(&Rondel::new(), &of_rondel, operation, count),
        _ => fail("wanted: LOOP OPERATION COUNT, or nothing for a list"),
    }
}

fn list<S>(subject: &str, operations: &[(&str, Operation<S>)]) {
    for (name, _) in operations {
        println!("{subject} {name}");
    }
}

fn run<S: Subject>(subject: &S, operations: &[(&str, Operation<S>)], operation: &str, count: &str) {
    let Some((_, repeat)) = operations.iter().find(|(name, _)| *name == operation) else {
        fail("no such operation");
    };
    let Ok(count) = count.parse() else {
        fail("the count is not a number");
    };
    repeat(subject, count);
}

fn fail(message: &str) -> ! {
    eprintln!("instructions: {message}");
    std::process::exit(2);
}
