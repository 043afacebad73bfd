//! Flows by number. A number carries a serial, so that one kept too long finds nothing.

use super::flow::Flow;

/// Names a flow for as long as it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FlowId {
    index: usize,
    serial: u64,
}

/// All flows of a stack.
#[derive(Default)]
pub(super) struct Flows {
    slots: Vec<Option<(u64, Box<Flow>)>>,
    free: Vec<usize>,
    next_serial: u64,
}

impl Flows {
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn insert(&mut self, flow: Flow) -> FlowId {
        let serial = self.next_serial;
        self.next_serial += 1;
        let entry = Some((serial, Box::new(flow)));
        let free = self.free.pop();
        if let Some((index, slot)) =
            free.and_then(|index| self.slots.get_mut(index).map(|slot| (index, slot)))
        {
            *slot = entry;
            return FlowId { index, serial };
        }
        self.slots.push(entry);
        FlowId { index: self.slots.len() - 1, serial }
    }

    pub(super) fn get(&self, id: FlowId) -> Option<&Flow> {
        match self.slots.get(id.index)? {
            Some((serial, flow)) if *serial == id.serial => Some(flow),
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, id: FlowId) -> Option<&mut Flow> {
        match self.slots.get_mut(id.index)? {
            Some((serial, flow)) if *serial == id.serial => Some(flow),
            _ => None,
        }
    }

    pub(super) fn remove(&mut self, id: FlowId) -> Option<Box<Flow>> {
        let slot = self.slots.get_mut(id.index)?;
        let (_, flow) = slot.take_if(|(serial, _)| *serial == id.serial)?;
        self.free.push(id.index);
        Some(flow)
    }
}
