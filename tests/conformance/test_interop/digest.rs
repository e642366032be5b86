//! Many bytes, and their sum, as zlib's `crc32`.

use core::fmt;

/// Counts bytes and sums them up as zlib's `crc32` does.
#[derive(Clone, Copy, Default)]
pub struct Digest {
    length: usize,
    sum: u32,
}

impl Digest {
    pub fn of(data: &[u8]) -> Self {
        let mut digest = Self::default();
        digest.update(data);
        digest
    }

    pub fn update(&mut self, data: &[u8]) {
        self.length += data.len();
        let sum = data.iter().fold(!self.sum, |sum, &byte| TABLE[usize::from(sum as u8 ^ byte)] ^ sum >> 8);
        self.sum = !sum;
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:08x}", self.length, self.sum)
    }
}

static TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut sum, mut bit) = (byte as u32, 0);
        while bit < 8 {
            sum = sum >> 1 ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 };
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
};

/// Makes bytes, the same that the script makes; a prime number of them repeats.
pub fn blob(length: usize) -> Vec<u8> {
    (0..251).cycle().take(length).collect()
}
