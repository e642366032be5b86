//! Hostile bytes: made up, or made of good ones.

use fastrand::Rng;

/// Is what a record's header says that it is: those that exist, and any.
fn kind(random: &mut Rng) -> u8 {
    [20, 21, 22, 23, 24, random.u8(..)][random.usize(..6)]
}

fn bytes(random: &mut Rng, count: usize) -> impl Iterator<Item = u8> {
    core::iter::repeat_with(|| random.u8(..)).take(count)
}

/// Makes a record around `body`, whose header may lie.
fn wrap(random: &mut Rng, kind: u8, body: &[u8]) -> Vec<u8> {
    let length = if random.u8(..8) == 0 { random.u16(..) } else { body.len() as u16 };
    let mut record = vec![kind, 3, random.u8(..5)];
    record.extend_from_slice(&length.to_be_bytes());
    record.extend_from_slice(body);
    record
}

/// Makes up a record.
pub fn record(random: &mut Rng) -> Vec<u8> {
    let count = match random.u8(..16) {
        0 => random.usize(..0x1_0000),
        1 => random.usize(0x4000..0x4200),
        2 => 0,
        _ => random.usize(..200),
    };
    let body: Vec<u8> = bytes(random, count).collect();
    let kind = kind(random);
    wrap(random, kind, &body)
}

/// Makes up a message of a handshake, which may say that it is longer.
fn message(random: &mut Rng) -> Vec<u8> {
    let count = random.usize(..300);
    let length = if random.u8(..4) == 0 { random.u32(..0x100_0000) } else { count as u32 };
    let mut message = length.to_be_bytes().to_vec();
    message[0] = [0, 1, 2, 4, 5, 8, 11, 13, 15, 16, 20, 24, random.u8(..)][random.usize(..13)];
    message.extend(bytes(random, count));
    wrap(random, 22, &message)
}

/// Makes up an alert, or a change of the cipher.
fn short(random: &mut Rng) -> Vec<u8> {
    let kind = random.u8(20..22);
    let body = [random.u8(..4), random.u8(..)];
    let count = random.usize(..3);
    wrap(random, kind, &body[..count])
}

/// Makes hostile bytes, some of them of what the peer would really send now.
pub fn hostile(random: &mut Rng, good: &[u8]) -> Vec<u8> {
    if good.is_empty() {
        return record(random);
    }
    let mut bad = good.to_vec();
    let at = random.usize(..bad.len());
    match random.u8(..12) {
        0..3 => bad[at] ^= 1 << random.u8(..8),
        3 => bad[at] = random.u8(..),
        4 => bad[at..].fill_with(|| random.u8(..)),
        5 => drop(bad.remove(at)),
        6 => {
            let count = random.usize(1..50);
            let inserted: Vec<u8> = bytes(random, count).collect();
            bad.splice(at..at, inserted).for_each(drop);
        }
        7 => bad.extend_from_within(at..),
        8 => return [message(random), bad].concat(),
        9 => return message(random),
        10 => return [short(random), bad].concat(),
        _ => return record(random),
    }
    bad
}

/// Spoils a text.
pub fn text(random: &mut Rng, good: &[u8]) -> Vec<u8> {
    let mut bad = good.to_vec();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(..=bad.len());
        let end = (at + random.usize(..80)).min(bad.len());
        match random.u8(..5) {
            0 if at < end => bad[at] ^= 1 << random.u8(..8),
            1 if at < end => bad[at] = random.alphanumeric() as u8,
            2 => drop(bad.drain(at..end)),
            3 => bad.extend_from_within(at..end),
            _ => drop(bad.splice(at..at, bytes(random, 3).collect::<Vec<_>>())),
        }
    }
    bad
}
