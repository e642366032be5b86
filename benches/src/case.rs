//! What is compared with what, and the table of the results.

use core::time::Duration;
use std::time::Instant;

/// What the command line asks for.
pub(crate) struct Options {
    rounds: usize,
    is_quick: bool,
    only: Option<String>,
}

impl Options {
    pub(crate) fn from_args(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { rounds: 15, is_quick: false, only: None };
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--quick" => (options.is_quick, options.rounds) = (true, 3),
                "--only" => options.only = Some(args.next().ok_or("--only needs a text")?),
                "--rounds" => {
                    let number = args.next().ok_or("--rounds needs a number")?;
                    options.rounds = number.parse().map_err(|_| format!("{number} is not a number"))?;
                }
                _ => return Err(format!("unknown option {arg}")),
            }
        }
        Ok(options)
    }
}

/// How rondel shall compare with a peer.
#[derive(Clone, Copy)]
enum Goal {
    /// Takes at most so many times as long.
    Times(f64),
    /// Takes at most so much longer.
    Plus(Duration),
}

struct Contender {
    name: &'static str,
    round: Box<dyn FnMut() -> f64>,
    goals: Vec<(&'static str, Goal)>,
    /// Has the result of each round, in ns.
    results: Vec<f64>,
}

/// Some contenders that do the same, in turns.
pub(crate) struct Case<'a> {
    options: &'a Options,
    name: String,
    contenders: Vec<Contender>,
}

impl<'a> Case<'a> {
    pub(crate) fn new(options: &'a Options) -> Self {
        Self { options, name: String::new(), contenders: Vec::new() }
    }

    pub(crate) fn name(&mut self, name: impl Into<String>) {
        self.name = name.into();
    }

    /// Returns how often a round repeats its work: `count`, or little of it for
    /// `--quick`.
    pub(crate) fn scaled(&self, count: usize) -> usize {
        if self.options.is_quick { (count / 20).max(1) } else { count }
    }

    pub(crate) fn is_quick(&self) -> bool {
        self.options.is_quick
    }

    /// Adds a contender. `set_up` makes its round, which returns ns each; it is
    /// not called for a contender that wasn't asked for.
    pub(crate) fn add<R>(&mut self, name: &'static str, set_up: impl FnOnce() -> R)
    where
        R: FnMut() -> f64 + 'static,
    {
        let full_name = format!("{} / {name}", self.name);
        if self.options.only.as_ref().is_none_or(|only| full_name.contains(only)) {
            let round = Box::new(set_up());
            self.contenders.push(Contender { name, round, goals: Vec::new(), results: Vec::new() });
        }
    }

    /// States that `name` takes at most `times` as long as `peer`.
    pub(crate) fn goal_times(&mut self, name: &str, times: f64, peer: &'static str) {
        self.goal(name, peer, Goal::Times(times));
    }

    /// States that `name` takes at most so much longer than `peer`.
    pub(crate) fn goal_plus(&mut self, name: &str, plus: Duration, peer: &'static str) {
        self.goal(name, peer, Goal::Plus(plus));
    }

    fn goal(&mut self, name: &str, peer: &'static str, goal: Goal) {
        if let Some(contender) = self.contenders.iter_mut().find(|contender| contender.name == name) {
            contender.goals.push((peer, goal));
        }
    }

    /// Measures and prints.
    pub(crate) fn run(mut self) {
        if self.contenders.is_empty() {
            return;
        }
        for contender in &mut self.contenders {
            // Warms caches and memory up.
            (contender.round)();
        }
        for _ in 0..self.options.rounds {
            for contender in &mut self.contenders {
                contender.results.push((contender.round)());
            }
        }
        println!("\n{}", self.name);
        for contender in &self.contenders {
            self.print(contender);
        }
    }

    fn print(&self, contender: &Contender) {
        let mut ratios = String::new();
        for &(peer, goal) in &contender.goals {
            let Some(peer) = self.contenders.iter().find(|other| other.name == peer) else { continue };
            let pairs = contender.results.iter().zip(&peer.results);
            let (text, met) = match goal {
                Goal::Times(goal) => {
                    let ratio = median(pairs.map(|(own, peer)| own / peer));
                    (format!("{ratio:.3} x {} (<= {goal:.3})", peer.name), ratio <= goal)
                }
                Goal::Plus(goal) => {
                    let more = median(pairs.map(|(own, peer)| own - peer)) / 1e3;
                    let goal = goal.as_secs_f64() * 1e6;
                    (format!("{more:+.1} us on {} (<= {goal:.0})", peer.name), more <= goal)
                }
            };
            ratios += &format!("  {} {text}", if met { "+" } else { "-" });
        }
        let ns = median(contender.results.iter().copied());
        println!("  {:<32} {ns:>11.1}{ratios}", contender.name);
    }
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

/// Measures `work` and returns the ns that each of `count` repetitions took.
pub(crate) fn ns_each(count: usize, work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_nanos() as f64 / count as f64
}

/// Pseudo-random numbers, the same in each run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    /// Returns a number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
