//! The claim: what a sender believes of the outbox must still be true when it seals a batch.

use fieldsync::decide::{Claimed, PageResult};
use fieldsync::plan::Table;
use serde_json::json;

use crate::desk::{Desk, REX, epoch, rejected, rex};

#[test]
fn a_claim_is_stale_when_another_context_ended_one_of_its_operations() {
    let mut desk = Desk::with_rex();
    let op = desk.update(&REX, json!({"name": "Max"}));
    let known = desk.known();
    desk.claim(&[&op], known);
    desk.answer(epoch(1), 9, &[(&op, rejected())]).expect("it is ours");
    let before = desk.store.dump(Table::State);
    assert_eq!(desk.claim(&[&op], known), Claimed::Stale);
    assert_eq!(desk.store.dump(Table::State), before, "nothing is sealed");
}

#[test]
fn a_claim_is_stale_when_another_context_rewrote_one_of_its_operations() {
    let mut desk = Desk::with_rex();
    let op = desk.update(&REX, json!({"name": "Max"}));
    let (known, written) = (desk.known(), desk.stored(&op));
    // A page moves the unsealed operation to a newer base: its bytes are others than those about to be sent.
    assert!(matches!(desk.page(Some("one"), "two", vec![rex(2, json!({"name": "Rex", "age": 2}))]), PageResult::Applied(_)));
    assert_ne!(desk.stored(&op), written);
    let before = desk.store.dump(Table::State);
    assert_eq!(desk.claim(&[&op], known), Claimed::Stale);
    assert_eq!(desk.store.dump(Table::State), before, "nothing is sealed");
    assert_eq!(desk.claim(&[&op], desk.known()), Claimed::Sealed(Vec::new()));
    assert_ne!(desk.store.dump(Table::State), before);
}

#[test]
fn what_another_context_wrote_or_did_to_other_operations_does_not_matter() {
    let mut desk = Desk::with_rex();
    let op = desk.update(&REX, json!({"name": "Max"}));
    let known = desk.known();
    desk.update(&REX, json!({"name": "Moritz"}));
    let other = desk.create(json!({"name": "Hasso"}));
    desk.claim(&[&other], desk.known());
    desk.answer(epoch(1), 9, &[(&other, rejected())]).expect("it is ours");
    assert_eq!(desk.claim(&[&op], known), Claimed::Sealed(Vec::new()));
}
