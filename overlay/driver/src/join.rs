//! Two streams joined: what is still to be delivered when one side breaks.
//!
//! A side that breaks may have said something before. Its words are passed on first, and only then does the other side learn of its end:
//!
//! | a direction failed | its source | its sink | the other direction |
//! |---|---|---|---|
//! | reading | is broken, and all it said was passed on | learns of it | is given up |
//! | writing | learns of it | is broken | goes on until all that the broken side said is passed on |
//!
//! A direction that ends in order leaves the other one running (half-close).

use std::pin::{Pin, pin};
use std::time::Duration;

/// Where a direction failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// Reading from where its bytes come from.
    Source,
    /// Writing to where they go.
    Sink,
}

/// One of two joined streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The source of the first direction.
    Near,
    /// The source of the second direction.
    Far,
}

/// Runs the direction from near to far and the one back until both have ended. `moved` grows with every byte that either moves.
///
/// # Errors
/// The side that broke, when everything that it said was passed on, or its other side took nothing for [`LAST_WORDS_QUIET_MAX`].
pub async fn join(
    outbound: impl Future<Output = Result<(), Broken>>,
    inbound: impl Future<Output = Result<(), Broken>>,
    moved: impl Fn() -> u64,
) -> Result<(), Side> {
    let (mut outbound, mut inbound) = (pin!(outbound), pin!(inbound));
    tokio::select! {
        ended = outbound.as_mut() => go_on(ended, inbound, moved, [Side::Near, Side::Far]).await,
        ended = inbound.as_mut() => go_on(ended, outbound, moved, [Side::Far, Side::Near]).await,
    }
}

/// One direction has `ended`, which led from `source` to `sink`; `back` leads from `sink` to `source`.
async fn go_on(
    ended: Result<(), Broken>,
    back: Pin<&mut impl Future<Output = Result<(), Broken>>>,
    moved: impl Fn() -> u64,
    [source, sink]: [Side; 2],
) -> Result<(), Side> {
    match ended {
        Ok(()) => back.await.map_err(|broken| match broken {
            Broken::Source => sink,
            Broken::Sink => source,
        }),
        Err(Broken::Source) => Err(source),
        Err(Broken::Sink) => {
            // How it ends tells nothing: that side is broken.
            let _ = while_moving(back, moved, LAST_WORDS_QUIET_MAX).await;
            Err(sink)
        }
    }
}

/// Waits for `work` while the figure that `moved` gives changes; `None` when it has stood still for `quiet_max`.
pub async fn while_moving<T>(
    mut work: Pin<&mut impl Future<Output = T>>,
    moved: impl Fn() -> u64,
    quiet_max: Duration,
) -> Option<T> {
    loop {
        let before = moved();
        match tokio::time::timeout(quiet_max, work.as_mut()).await {
            Ok(done) => return Some(done),
            Err(_) if moved() == before => return None,
            Err(_) => {}
        }
    }
}

/// How long the last words of a side that is gone may wait for their reader to take any of them: longer than the outage of 40 seconds that other bytes
/// survive.
pub const LAST_WORDS_QUIET_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn a_direction_that_ends_in_order_leaves_the_other_running() {
        let runs = Cell::new(false);
        let back = async {
            tokio::task::yield_now().await;
            runs.set(true);
            Ok(())
        };
        assert_eq!(join(ready(Ok(())), back, || 0).await, Ok(()));
        assert!(runs.get());
    }

    #[tokio::test]
    async fn a_side_that_takes_nothing_is_still_read_to_its_end() {
        let said = Cell::new(0);
        let back = async {
            for _ in 0..3 {
                tokio::task::yield_now().await;
                said.set(said.get() + 1);
            }
            Err(Broken::Source)
        };
        let end = join(ready(Err(Broken::Sink)), back, || said.get()).await;
        assert_eq!((end, said.get()), (Err(Side::Far), 3));
    }

    #[tokio::test]
    async fn a_side_that_says_nothing_more_ends_both_directions() {
        let near = join(ready(Err(Broken::Source)), pending(), || 0).await;
        assert_eq!(near, Err(Side::Near));
        let far = join(pending(), ready(Err(Broken::Source)), || 0).await;
        assert_eq!(far, Err(Side::Far));
    }

    #[tokio::test(start_paused = true)]
    async fn last_words_wait_only_while_their_reader_takes_some() {
        let taken = Cell::new(0);
        let slow = async {
            for _ in 0..5 {
                tokio::time::sleep(LAST_WORDS_QUIET_MAX * 9 / 10).await;
                taken.set(taken.get() + 1);
            }
            pending().await
        };
        let end = join(ready(Err(Broken::Sink)), slow, || taken.get()).await;
        assert_eq!((end, taken.get()), (Err(Side::Far), 5));
    }
}
