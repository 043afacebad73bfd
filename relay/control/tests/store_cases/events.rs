//! What followers of the store hear.

use std::sync::{Arc, Mutex};

use bore_control::event::{Change, Event, Subject};

use super::lab::{ADMIN, Lab, START, udp};

/// Each row of the audit trail is one event, told before the change is answered; what is refused or changes nothing is none.
pub(crate) async fn tell_followers_of_every_row_and_of_nothing_else(lab: Lab) {
    let before = lab.actions().await.len();
    let events = follow(&lab);
    let count = || events.lock().unwrap().len();
    let (nodes, publications) = (lab.store.nodes(), lab.store.publications());

    let node = nodes.add(&lab.new_node(lab.network, "nas"), &ADMIN).await.unwrap();
    assert_eq!(count(), 1, "told before it is answered");
    nodes.add(&lab.new_node(lab.network, "nas"), &ADMIN).await.unwrap_err();
    nodes.rename(lab.network, node.id, "nas", &ADMIN, START).await.unwrap();
    assert_eq!(count(), 1, "nothing was changed");
    nodes.rename(lab.network, node.id, "box", &ADMIN, START + 1).await.unwrap();
    let game = publications.put(&udp(&node, "game", 7777), &ADMIN).await.unwrap();
    let moved = publications.replace(&[game.id], &udp(&node, "moved", 7777), &ADMIN).await.unwrap();
    publications.put(&udp(&node, "moved", 7778), &ADMIN).await.unwrap();
    nodes.delete(lab.network, node.id, &ADMIN, START + 2).await.unwrap();

    let rows = lab.store.audit().list(None, None, 0, 1_000).await.unwrap();
    let rows = rows.get(before..).unwrap();
    let events = events.lock().unwrap();
    let told: Vec<_> = events.iter().map(|event| (event.at, event.network)).collect();
    let written: Vec<_> = rows.iter().map(|row| (row.at, row.network)).collect();
    assert_eq!(told, written);
    let subjects: Vec<&Subject> = events.iter().map(|event| &event.subject).collect();
    let [_, renamed, came, went, came_instead, changed, gone] = subjects[..] else {
        panic!("{subjects:?}")
    };
    let Subject::Node(renamed) = renamed else { panic!("{renamed:?}") };
    let names = (renamed.change.before().unwrap(), renamed.change.after().unwrap());
    assert_eq!((names.0.name.as_str(), names.1.name.as_str()), ("nas", "box"));
    assert!(matches!(came, Subject::Publication(Change::Came(new)) if **new == game));
    assert!(matches!(went, Subject::Publication(Change::Went(old)) if **old == game));
    assert!(matches!(came_instead, Subject::Publication(Change::Came(new)) if **new == moved));
    let Subject::Publication(Change::Became { before, after }) = changed else {
        panic!("{changed:?}")
    };
    assert_eq!((before.public_port, after.public_port), (Some(7777), Some(7778)));
    let Subject::Node(gone) = gone else { panic!("{gone:?}") };
    let [taken_along] = &gone.publications[..] else { panic!("{gone:?}") };
    assert_eq!((taken_along.id, &*taken_along.name), (moved.id, "moved"));
}

fn follow(lab: &Lab) -> Arc<Mutex<Vec<Arc<Event>>>> {
    let events = Arc::<Mutex<Vec<Arc<Event>>>>::default();
    let told = Arc::clone(&events);
    lab.store.follow(move |event| {
        told.lock().unwrap().push(Arc::clone(event));
        true
    });
    events
}
