//! The same for each of a few images, on some threads.

use std::thread;

use crate::fp32::Fp32Error;

/// Runs `each` on all `items`, in their order, on some threads.
pub(crate) fn parallel<T: Sync, S: Send, R: Send>(
    items: &[T],
    threads: usize,
    state: impl Fn() -> S,
    each: impl Fn(&mut S, &T) -> Result<R, Fp32Error> + Sync,
) -> Result<Vec<R>, Fp32Error> {
    let part = items.len().div_ceil(threads.max(1)).max(1);
    let each = &each;
    thread::scope(|scope| {
        let threads: Vec<_> = items
            .chunks(part)
            .map(|items| {
                let mut state = state();
                scope.spawn(move || {
                    items.iter().map(|item| each(&mut state, item)).collect::<Result<Vec<_>, _>>()
                })
            })
            .collect();
        let mut results = Vec::with_capacity(items.len());
        for thread in threads {
            results.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(results)
    })
}
