//! Groups: named sets of nodes and keys.
//!
//! Membership is kept elsewhere; this is the picture of it that policies are compiled against.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::label::Label;

/// Every group that exists, with its members.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups(BTreeMap<Label, Members>);

/// Who is in one group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    /// Nodes, by id.
    pub nodes: BTreeSet<Uuid>,
    /// Keys, by id; what joined or calls with such a key is a member too.
    pub keys: BTreeSet<Uuid>,
}

impl Groups {
    /// Adds a group, or replaces its members.
    pub fn insert(&mut self, name: Label, members: Members) {
        self.0.insert(name, members);
    }

    /// True when there is a group of this name.
    pub fn contains(&self, name: &Label) -> bool {
        self.0.contains_key(name)
    }

    /// The names of all groups, in order.
    pub fn names(&self) -> impl Iterator<Item = &Label> {
        self.0.keys()
    }

    /// The groups of `node`, by its own id or by the key that it came with.
    pub fn of(&self, node: Uuid, key: Option<Uuid>) -> BTreeSet<Label> {
        self.0
            .iter()
            .filter(|(_, members)| members.holds(node, key))
            .map(|(name, _)| name.clone())
            .collect()
    }
}

impl Members {
    fn holds(&self, node: Uuid, key: Option<Uuid>) -> bool {
        self.nodes.contains(&node) || key.is_some_and(|key| self.keys.contains(&key))
    }
}

impl FromIterator<(Label, Members)> for Groups {
    fn from_iter<I: IntoIterator<Item = (Label, Members)>>(groups: I) -> Self {
        Self(groups.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_in_the_groups_of_its_id_and_of_its_key() {
        let [node, key, other] = [1, 2, 3].map(Uuid::from_u128);
        let label = |text| Label::parse(text).unwrap();
        let mut groups = Groups::default();
        groups.insert(label("a"), Members { nodes: [node].into(), keys: [].into() });
        groups.insert(label("b"), Members { nodes: [].into(), keys: [key].into() });
        groups.insert(label("c"), Members { nodes: [other].into(), keys: [other].into() });

        assert_eq!(groups.of(node, Some(key)), [label("a"), label("b")].into());
        assert_eq!(groups.of(node, None), [label("a")].into());
        assert_eq!(groups.of(key, None), [].into(), "an id of one kind says nothing of the other");
        assert!(groups.contains(&label("c")) && !groups.contains(&label("d")));
        assert_eq!(groups.names().count(), 3);
    }
}
