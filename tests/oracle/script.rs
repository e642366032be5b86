//! The scripts: operations in bodies, and the trace that asyncio made of them.

use core::fmt;
use std::rc::Rc;

/// A script and what asyncio did.
pub struct Script {
    pub name: String,
    pub ops: Rc<[Op]>,
    pub trace: Vec<String>,
}

/// One line of a script, with its body if it has one.
pub struct Op {
    pub kind: String,
    pub args: Vec<String>,
    pub body: Rc<[Self]>,
}

impl Op {
    /// Returns the argument `index` as a number.
    pub fn number(&self, index: usize) -> u32 {
        self.args[index].parse().expect("a number")
    }

    pub fn mode(&self) -> &str {
        let index = match self.kind.as_str() {
            "await" | "wait" | "sleep" | "timeout" => 1,
            _ => 0,
        };
        &self.args[index]
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.args.join(" "))?;
        if !self.body.is_empty() {
            writeln!(f, " {{")?;
            for op in self.body.iter() {
                writeln!(f, "{op}")?;
            }
            write!(f, "}}")?;
        }
        Ok(())
    }
}

/// Reads a file of scripts; a line that begins with `#` is a comment.
pub fn parse(text: &str) -> Vec<Script> {
    let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).peekable();
    let mut scripts = Vec::new();
    while let Some(head) = lines.next() {
        let name = head.strip_prefix("= ").expect("a script begins with its name").to_owned();
        let ops = body(&mut lines, "--");
        let mut trace = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with("= ")) {
            trace.push(line.to_owned());
        }
        scripts.push(Script { name, ops, trace });
    }
    scripts
}

fn body<'a>(lines: &mut impl Iterator<Item = &'a str>, end: &str) -> Rc<[Op]> {
    let mut ops = Vec::new();
    loop {
        let line = lines.next().expect("the end of a body");
        if line == end {
            return ops.into();
        }
        let mut words = line.split(' ').map(str::to_owned);
        let kind = words.next().expect("a kind");
        let mut args: Vec<String> = words.collect();
        let body = if args.pop_if(|last| last == "{").is_some() { body(lines, "}") } else { Rc::new([]) };
        ops.push(Op { kind, args, body });
    }
}
