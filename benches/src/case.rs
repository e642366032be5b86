//! What is compared with what, and the table of the results.

use core::time::Duration;
use std::time::Instant;

use crate::memory::resident_bytes;

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

/// Says why a contender can't be measured here.
#[derive(Debug)]
pub(crate) struct Unavailable(pub(crate) String);

struct Contender {
    name: &'static str,
    /// Is what setting up took.
    bytes: usize,
    round: Result<Box<dyn FnMut() -> f64>, Unavailable>,
    /// Has the result of each round, in ns.
    results: Vec<f64>,
}

/// How one of ours shall compare with a peer.
struct Goal {
    name: &'static str,
    peer: &'static str,
    limit: Limit,
}

#[derive(Clone, Copy)]
enum Limit {
    /// Takes at most so many times as long.
    Times(f64),
    /// Takes at most so much longer.
    Plus(Duration),
}

/// Are the contenders whose ratio to each other one is in the table.
const OURS: [&str; 2] = ["rondel-core", "rondel"];

/// Some contenders that do the same, in turns.
pub(crate) struct Case<'a> {
    options: &'a Options,
    name: String,
    /// Is of how many things the memory is told, each.
    population: Option<usize>,
    contenders: Vec<Contender>,
    goals: Vec<Goal>,
}

impl<'a> Case<'a> {
    pub(crate) fn new(options: &'a Options) -> Self {
        Self { options, name: String::new(), population: None, contenders: Vec::new(), goals: Vec::new() }
    }

    pub(crate) fn name(&mut self, name: impl Into<String>) {
        self.name = name.into();
    }

    /// Lets the table tell how much memory a contender has for each of so many
    /// things that it makes when it is set up. It does so for one that is measured
    /// alone: else one gets what another left over.
    pub(crate) fn show_bytes_each(&mut self, population: usize) {
        self.population = Some(population);
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
        self.try_add(name, || Ok(set_up()));
    }

    /// Adds a contender that is not everywhere.
    pub(crate) fn try_add<R>(&mut self, name: &'static str, set_up: impl FnOnce() -> Result<R, Unavailable>)
    where
        R: FnMut() -> f64 + 'static,
    {
        let full_name = format!("{} / {name}", self.name);
        if self.options.only.as_ref().is_none_or(|only| full_name.contains(only)) {
            let before = resident_bytes();
            let round = set_up().map(|round| Box::new(round) as _);
            let bytes = resident_bytes().saturating_sub(before);
            self.contenders.push(Contender { name, bytes, round, results: Vec::new() });
        }
    }

    /// States that `name` takes at most `times` as long as `peer`.
    pub(crate) fn goal_times(&mut self, name: &'static str, times: f64, peer: &'static str) {
        self.goals.push(Goal { name, peer, limit: Limit::Times(times) });
    }

    /// States that `name` takes at most so much longer than `peer`.
    pub(crate) fn goal_plus(&mut self, name: &'static str, plus: Duration, peer: &'static str) {
        self.goals.push(Goal { name, peer, limit: Limit::Plus(plus) });
    }

    /// Measures, prints, and returns the goals that were missed.
    pub(crate) fn run(mut self) -> Vec<String> {
        for contender in &mut self.contenders {
            // Warms caches and memory up.
            contender.measure();
            contender.results.clear();
        }
        for _ in 0..self.options.rounds {
            self.contenders.iter_mut().for_each(Contender::measure);
        }
        if self.contenders.is_empty() {
            return Vec::new();
        }
        let mut missed = Vec::new();
        println!("\n{}", self.name);
        for contender in &self.contenders {
            let mut line = match &contender.round {
                Ok(_) => format!("{:>11.1}", median(contender.results.iter().copied())),
                Err(Unavailable(reason)) => format!("{:>11}  {reason}", "-"),
            };
            for ours in OURS {
                line += &format!("  {:<26}", self.comparison(ours, contender, &mut missed));
            }
            if let (Some(population), [_]) = (self.population, &self.contenders[..]) {
                line += &format!("{:>6.0} bytes each", contender.bytes as f64 / population as f64);
            }
            println!("  {:<32} {}", contender.name, line.trim_end());
        }
        missed
    }

    /// Tells how one of ours compares with a peer, and notes a goal that it missed.
    fn comparison(&self, ours: &str, peer: &Contender, missed: &mut Vec<String>) -> String {
        let Some(own) = self.contenders.iter().find(|contender| contender.name == ours) else {
            return String::new();
        };
        if peer.results.is_empty() || OURS.contains(&peer.name) {
            return String::new();
        }
        let pairs = || own.results.iter().zip(&peer.results);
        let times = median(pairs().map(|(own, peer)| own / peer));
        let goal = self.goals.iter().find(|goal| (goal.name, goal.peer) == (ours, peer.name));
        let (text, is_met) = match goal.map(|goal| goal.limit) {
            None => return format!("{times:.3} x"),
            Some(Limit::Times(limit)) => (format!("{times:.3} x (<= {limit:.3})"), times <= limit),
            Some(Limit::Plus(limit)) => {
                let more_us = median(pairs().map(|(own, peer)| own - peer)) / 1e3;
                let limit_us = limit.as_secs_f64() * 1e6;
                (format!("{more_us:+.1} us (<= {limit_us:.0})"), more_us <= limit_us)
            }
        };
        if is_met {
            return format!("{text} +");
        }
        missed.push(format!("{}: {ours} takes {text} {}", self.name, peer.name));
        format!("{text} -")
    }
}

impl Contender {
    fn measure(&mut self) {
        if let Ok(round) = &mut self.round {
            self.results.push(round());
        }
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
