//! Counts primes in worker processes, several ranges at the same time.

use rondel::{Error, ProcessPoolConfig, ProcessPoolExecutor};

/// Counts the primes below a number; both are sent as 8 bytes.
fn primes(below: &[u8]) -> rondel::Result<Vec<u8>> {
    let below = u64::from_le_bytes(below.try_into().map_err(Error::new)?);
    let is_prime = |&n: &u64| (2..).take_while(|d| d * d <= n).all(|d| n % d != 0);
    let count = (2..below).filter(is_prime).count() as u64;
    Ok(count.to_le_bytes().into())
}

fn main() -> rondel::Result<()> {
    rondel::process_worker(&[("primes", primes)]);
    rondel::run(async |event_loop| {
        let pool = ProcessPoolExecutor::new(&event_loop, ProcessPoolConfig::default());
        let mut jobs = Vec::new();
        for below in [10_u64, 1_000, 100_000, 1_000_000] {
            jobs.push((below, pool.submit("primes", below.to_le_bytes()).start()?));
        }
        for (below, job) in jobs {
            let count = u64::from_le_bytes(job.await?.try_into().unwrap_or_default());
            println!("{count} primes below {below}");
        }
        pool.shutdown_and_wait().await
    })
}
