//! Sockets of public ports: bounded for all networks together and for each, so that no range of one tenant takes what others need.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use bore_control::doors::ClaimError;
use uuid::Uuid;

/// How many are held, by network. An absent network holds none.
#[derive(Debug)]
pub(super) struct PortSockets {
    max: usize,
    held: RefCell<HashMap<Uuid, usize>>,
}

/// Sockets of one publication, given back when this is dropped.
#[derive(Debug)]
pub(super) struct HeldSockets {
    sockets: Rc<PortSockets>,
    network: Uuid,
    count: usize,
}

impl PortSockets {
    pub(super) fn new(max: usize) -> Rc<Self> {
        Rc::new(Self { max, held: RefCell::default() })
    }

    /// Takes `count` sockets for a publication of `network`.
    ///
    /// # Errors
    /// All networks together, or this one, would hold more than they may.
    pub(super) fn take(
        self: &Rc<Self>,
        network: Uuid,
        count: usize,
    ) -> Result<HeldSockets, ClaimError> {
        let mut held = self.held.borrow_mut();
        let all: usize = held.values().sum();
        let own = held.get(&network).copied().unwrap_or_default();
        let for_network = self.max / 2;
        if count > 0 && (all + count > self.max || own + count > for_network) {
            let text = format!(
                "{count} more sockets for public ports are too many: this network has {own} of {for_network}, \
                 all together {all} of {}, which follow from the relay's limit of open files",
                self.max
            );
            return Err(ClaimError::Limit(text));
        }
        *held.entry(network).or_default() += count;
        drop(held);
        Ok(HeldSockets { sockets: Rc::clone(self), network, count })
    }
}

impl Drop for HeldSockets {
    fn drop(&mut self) {
        let mut held = self.sockets.held.borrow_mut();
        let left = held.get(&self.network).map_or(0, |own| own.saturating_sub(self.count));
        if left == 0 {
            held.remove(&self.network);
        } else {
            held.insert(self.network, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_gets_half_and_all_together_no_more_than_all() {
        let sockets = PortSockets::new(100);
        let [one, two, three] = [1, 2, 3].map(Uuid::from_u128);
        let first = sockets.take(one, 50).unwrap();
        assert!(sockets.take(one, 1).is_err());
        let _second = sockets.take(two, 50).unwrap();
        assert!(sockets.take(three, 1).is_err());
        assert!(sockets.take(three, 0).is_ok(), "what has no ports needs none");

        drop(first);
        assert!(sockets.take(three, 50).is_ok());
        assert!(sockets.take(one, 50).is_ok(), "what was refused or given back counts no more");
    }
}
