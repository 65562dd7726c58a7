//! Work that is shared out to all processors and comes back in order.

use std::{
    collections::VecDeque,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

use athanor_protocol::{Code, Failure};

/// Items that are with each thread at most: one that is worked on, and one that is ready when it is done.
const ITEMS_EACH: usize = 2;
/// Most threads: further ones would wait for the one that reads.
const MAX_THREADS: usize = 32;

/// Where a thread gets its items, and where their results come from. Neither end ever waits for room: there are no more
/// items on the way than fit.
type Ends<T, R> = (SyncSender<T>, Receiver<Result<R, Failure>>);

/// Takes items until there are no more, works on them on all processors, and gives the results to `keep` in the items'
/// order. Ends early, with `false`, where `keep` says so. Memory is bounded by two items for each processor.
pub(super) fn in_order<T: Send, R: Send>(
    mut take: impl FnMut() -> Result<Option<T>, Failure>,
    work: impl Fn(T) -> Result<R, Failure> + Sync,
    mut keep: impl FnMut(R) -> Result<bool, Failure>,
) -> Result<bool, Failure> {
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    std::thread::scope(|scope| {
        let work = &work;
        let mut threads: Vec<Ends<T, R>> = Vec::with_capacity(n_threads);
        let mut handles = Vec::with_capacity(n_threads);
        for at in 0..n_threads {
            let (items, todo) = sync_channel::<T>(ITEMS_EACH);
            let (done, results) = sync_channel(ITEMS_EACH);
            let run = move || {
                for item in todo {
                    if done.send(work(item)).is_err() {
                        break;
                    }
                }
            };
            let thread = std::thread::Builder::new().name(format!("batch {at}")).spawn_scoped(scope, run);
            let failed =
                |err: std::io::Error| Failure::new(Code::from_io(&err), format!("cannot start a thread: {err}"));
            handles.push(thread.map_err(failed)?);
            threads.push((items, results));
        }
        let result = share_out(&threads, &mut take, &mut keep);
        // Without items the threads end.
        drop(threads);
        // One that panicked has told so already, by sending nothing.
        handles.into_iter().for_each(|handle| drop(handle.join()));
        result
    })
}

fn share_out<T, R>(
    threads: &[Ends<T, R>],
    take: &mut impl FnMut() -> Result<Option<T>, Failure>,
    keep: &mut impl FnMut(R) -> Result<bool, Failure>,
) -> Result<bool, Failure> {
    let stopped = || Failure::new(Code::Internal, "a thread has stopped in the middle of its work");
    // The threads whose results are awaited, in order: each is asked in turn.
    let mut awaited = VecDeque::with_capacity(threads.len() * ITEMS_EACH);
    let mut turn = threads.iter().cycle();
    let mut is_over = false;
    loop {
        while !is_over && awaited.len() < threads.len() * ITEMS_EACH {
            match take()? {
                Some(item) => {
                    let (items, results) = turn.next().ok_or_else(stopped)?;
                    items.send(item).map_err(|_| stopped())?;
                    awaited.push_back(results);
                }
                None => is_over = true,
            }
        }
        let Some(results) = awaited.pop_front() else { return Ok(true) };
        if !keep(results.recv().map_err(|_| stopped())??)? {
            return Ok(false);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_ends_are_kept() {
        let run = |n: u32, bad: Option<u32>, enough: Option<u32>| {
            let (mut next, mut kept) = (0, vec![]);
            let take = || {
                next += 1;
                Ok((next <= n).then_some(next))
            };
            let work = |item: u32| match bad {
                Some(bad) if bad == item => Err(Failure::new(Code::BadData, "bad")),
                _ => Ok(item * 10),
            };
            let result = in_order(take, work, |result| {
                kept.push(result);
                Ok(enough != Some(result))
            });
            (result.map_err(|failure| failure.code), kept)
        };
        let tens = |n: u32| (1..=n).map(|item| item * 10).collect::<Vec<_>>();
        assert_eq!(run(0, None, None), (Ok(true), vec![]));
        assert_eq!(run(1000, None, None), (Ok(true), tens(1000)));
        assert_eq!(run(1000, Some(501), None), (Err(Code::BadData), tens(500)));
        assert_eq!(run(1000, None, Some(300)), (Ok(false), tens(30)));
    }

    #[test]
    fn what_cannot_be_taken_and_what_panics_is_an_error() {
        let failed = in_order(|| Err::<Option<u32>, _>(Failure::new(Code::Cancelled, "enough")), Ok, |_| Ok(true));
        assert_eq!(failed.unwrap_err().code, Code::Cancelled);
        let mut n = 0;
        let take = || {
            n += 1;
            Ok(Some(n))
        };
        let panicked =
            in_order(take, |item: u32| if item == 7 { panic!("this one panics") } else { Ok(item) }, |_| Ok(true));
        assert_eq!(panicked.unwrap_err().code, Code::Internal);
    }
}
