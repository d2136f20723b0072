//! The sender's role: a tab that is frozen holds it for ever, one that lives is left in peace, and two that
//! do not hear each other cannot fight.

use futures_util::future::{Either, join, select};
use serde_json::json;

use crate::world::{Fault, Tab, World, tell, turns};

#[test]
fn the_role_of_a_frozen_tab_is_taken_and_what_it_still_does_harms_nobody() {
    for answer_first in [true, false] {
        tell(async {
            let world = World::new();
            let device = world.device("anna");
            // Nobody runs the first tab's listener: it hears nothing, as a frozen tab does not.
            let (first, second) = (device.tab().await, device.tab().await);
            first.create("client", json!({"name": "one"})).await;
            let gate = first.hold_upload();
            let story = async {
                gate.reached().await;
                second.create("client", json!({"name": "two"})).await;
                if answer_first {
                    gate.open();
                }
                let result = world.until(second.sync()).await;
                gate.open();
                result
            };
            let (frozen, result) = join(first.sync(), story).await;
            assert!(result.success, "{result:?}");
            assert_eq!(world.changes().await.len(), 2, "each exactly once");
            if answer_first {
                assert_eq!(device.steals(), 0, "it gave the role back in time");
            } else {
                assert_eq!(device.steals(), 1);
                assert_eq!((frozen.errors[0].code.as_str(), frozen.errors[0].retryable), ("aborted", true), "{frozen:?}");
                assert_eq!(result.synced, 2, "the receipt of the first is the answer to its resend");
            }
            assert!(first.sync().await.success);
            assert!(first.queue().await.is_empty() && second.queue().await.is_empty());
            let ids: Vec<_> = first.all("client").await.iter().map(|record| record["id"].clone()).collect();
            assert_eq!(ids, [json!(1), json!(2)]);
        });
    }
}

#[test]
fn a_sender_that_lives_keeps_the_role_however_long_it_takes() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let settings = json!({"timeoutMs": 600_000});
        let (first, second) = (device.tab_with(settings.clone()).await, device.tab_with(settings).await);
        first.create("client", json!({"name": "one"})).await;
        let gate = first.hold_upload();
        let story = async {
            gate.reached().await;
            let waiting = async {
                let until = world.now() + 120_000;
                while world.now() < until {
                    world.pass(50);
                    turns(5).await;
                }
                gate.open();
            };
            let (result, ()) = join(second.sync(), waiting).await;
            result
        };
        let sessions = std::pin::pin!(join(first.sync(), story));
        let Either::Left(((first, second), _)) = select(sessions, std::pin::pin!(join(first.engine.run(), second.engine.run()))).await
        else {
            panic!("the engines stopped");
        };
        assert!(first.success && second.success, "{first:?} {second:?}");
        assert_eq!((device.steals(), first.synced), (0, 1));
    });
}

async fn busy(world: &World, tab: &Tab, until: u64) {
    while world.now() < until {
        tab.fault("download", Fault::Stall);
        tab.sync().await;
    }
}

#[test]
fn two_deaf_tabs_take_the_role_from_each_other_less_and_less_often() {
    const HOUR: u64 = 3_600_000;
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let settings = json!({"timeoutMs": 600_000});
        let (first, second) = (device.tab_with(settings.clone()).await, device.tab_with(settings).await);
        let until = world.now() + HOUR;
        world.until(join(busy(&world, &first, until), busy(&world, &second, until))).await;
        // Every six seconds would be six hundred.
        assert!((4..=24).contains(&device.steals()), "{}", device.steals());
    });
}
