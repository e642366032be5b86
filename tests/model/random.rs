//! Random scripts, in lock-step. `RONDEL_MODEL_SEEDS` is how many, or one seed
//! as `=17`.

use core::ops::Range;

use fastrand::Rng;

use crate::generate;
use crate::lockstep::check;
use crate::ops::Op;

pub const OPS: usize = 2_000;

pub const SIZES: [usize; 8] = [0, 1, 2, 3, 5, 8, 16, 40];

pub fn seeds() -> Range<u64> {
    let setting = std::env::var("RONDEL_MODEL_SEEDS").unwrap_or_default();
    match setting.strip_prefix('=') {
        Some(seed) => {
            let seed = seed.parse().expect("a seed");
            seed..seed + 1
        }
        None => 0..setting.parse().unwrap_or(300),
    }
}

#[test]
fn core_and_reference_agree_on_random_scripts() {
    for seed in seeds() {
        let mut rng = Rng::with_seed(seed);
        let capacity = generate::capacity(&mut rng, &SIZES);
        let ops: Vec<Op> = generate::ops(&mut rng, OPS).collect();
        let name = format!("RONDEL_MODEL_SEEDS=={seed}");
        check::<true>(capacity, &ops, &name);
        check::<false>(capacity, &ops, &name);
    }
}
