//! The same for each of a few images, on some threads.

use std::thread;

use crate::fp32::Fp32Error;

/// Runs `each` on all `items`, in their order, on some threads. Items that are given by value are dropped one by one.
pub(crate) fn parallel<I, S: Send, R: Send>(
    items: I,
    threads: usize,
    state: impl Fn() -> S,
    each: impl Fn(&mut S, I::Item) -> Result<R, Fp32Error> + Sync,
) -> Result<Vec<R>, Fp32Error>
where
    I: IntoIterator<Item: Send, IntoIter: ExactSizeIterator>,
{
    let mut items = items.into_iter();
    let count = items.len();
    let part = count.div_ceil(threads.max(1)).max(1);
    let each = &each;
    thread::scope(|scope| {
        let mut threads = Vec::new();
        while items.len() > 0 {
            let items: Vec<I::Item> = items.by_ref().take(part).collect();
            let mut state = state();
            threads.push(scope.spawn(move || {
                items.into_iter().map(|item| each(&mut state, item)).collect::<Result<Vec<_>, _>>()
            }));
        }
        let mut results = Vec::with_capacity(count);
        for thread in threads {
            results.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(results)
    })
}
