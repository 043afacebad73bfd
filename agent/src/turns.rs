//! Who may change what is declared: for each name one at a time, in the order in which they came.
//!
//! A turn is held over requests to the relay. What is done to other names does not wait for it.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// The queues of all names.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<String, Weak<AsyncMutex<()>>>>);

/// Lets the next one of the same name have its turn when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(#[expect(dead_code, reason = "held")] OwnedMutexGuard<()>);

impl Turns {
    /// Takes a place behind all who came before, when this is called and not when it is awaited.
    pub(crate) fn queue(&self, name: &str) -> impl Future<Output = Turn> + Send + use<> {
        let mut place = Box::pin(self.of(name).lock_owned());
        // A place is taken by the first poll.
        let first = place.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        async move {
            match first {
                Poll::Ready(turn) => Turn(turn),
                Poll::Pending => Turn(place.await),
            }
        }
    }

    /// A turn if nobody has it or waits for it.
    pub(crate) fn take(&self, name: &str) -> Option<Turn> {
        self.of(name).try_lock_owned().ok().map(Turn)
    }

    fn of(&self, name: &str) -> Arc<AsyncMutex<()>> {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = names.get(name).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::default();
        names.insert(name.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn each_name_has_turns_in_the_order_of_coming_and_no_other_name_waits() {
        let turns = Turns::default();
        let places = [(); 3].map(|()| Box::pin(turns.queue("web")));
        let [first, mut second, mut third] = places;
        let turn = first.now_or_never().unwrap();
        assert!(turns.queue("shell").now_or_never().is_some() && turns.take("web").is_none());
        assert!((&mut third).now_or_never().is_none());
        drop(turn);
        assert!((&mut third).now_or_never().is_none(), "the second came before");
        drop((&mut second).now_or_never().unwrap());
        assert!((&mut third).now_or_never().is_some());
        drop((second, third));
        drop(turns.take("other"));
        assert_eq!(turns.0.lock().unwrap().len(), 1, "a name without turns is forgotten");
    }
}
