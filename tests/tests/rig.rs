//! Our TCP and that of Linux send each other data over a faulty link, in real time.

use bore_rig::{Amount, Conditions, Ends, Plan, run};

#[test]
fn every_byte_from_linux_reaches_our_stack_over_a_lossy_link() {
    send_over_a_lossy_link(Ends::BBR_TO_OURS);
}

#[test]
fn every_byte_from_our_stack_reaches_linux_over_a_lossy_link() {
    send_over_a_lossy_link(Ends::OURS_TO_KERNEL);
}

fn send_over_a_lossy_link(ends: Ends) {
    bore_rig::demand_privileges().expect("what the rig needs");
    let outcome = run(&Plan {
        conditions: Conditions::new(100, 4).loss(1.0),
        flows: vec![ends],
        amount: Amount::Bytes(3 << 20),
        seed: 1,
    })
    .expect("a transfer from end to end");
    assert!(outcome.flows.iter().all(|flow| flow.is_intact), "{outcome:?}");
}
