//! A closure over a few items, on several threads.

use std::thread;

/// Calls `each` with every one of `items` and returns the results in the order of the items, or the first error. Each of the
/// `threads` threads works on a run of items with a `state` of its own. Items that are passed by value are dropped one by one.
pub(crate) fn parallel<I, S: Send, R: Send, E: Send>(
    items: I,
    threads: usize,
    state: impl Fn() -> S,
    each: impl Fn(&mut S, I::Item) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E>
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
