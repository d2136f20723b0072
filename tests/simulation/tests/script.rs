//! Scripts themselves: what a person calls by a name is the record of the database that is open. And what a script
//! shows of the oracle: work that was brought under several names may be given up under each of them.

use fieldsync_simulation::Wanted;
use fieldsync_simulation::plan::Plan;
use fieldsync_simulation::swarm::run_guarded;

const SWITCH: &str = r#"{
"seed": 1, "healAt": 20000, "backups": false, "resolveAtEnd": false, "faults": {"list": []},
"devices": [{"skewMs": 0, "driftPpm": 0, "latencyMs": 10}, {"skewMs": 0, "driftPpm": 0, "latencyMs": 10}],
"databases": [
{"device": 0, "tenant": "clinic", "user": "anna", "batchSize": 50, "pageSize": 500, "pollMs": 1000, "timeoutMs": 4000},
{"device": 0, "tenant": "other", "user": "anna", "batchSize": 50, "pageSize": 500, "pollMs": 1000, "timeoutMs": 4000},
{"device": 1, "tenant": "other", "user": "ben", "batchSize": 50, "pageSize": 500, "pollMs": 1000, "timeoutMs": 4000}],
"contexts": [{"database": 0, "autoSync": true}, {"database": 2, "autoSync": true}, {"database": 1, "autoSync": true}],
"actions": [
{"at": 2000, "actor": 1, "what": {"step": {"create": {"name": "ann", "entity": "tag", "set": {"name": "Ann"}}}}},
{"at": 2000, "actor": 2, "what": {"step": {"create": {"name": "ann", "entity": "tag", "set": {"name": "Ann"}}}}},
{"at": 4000, "actor": 1, "what": {"step": {"delete": {"name": "ann"}}}},
{"at": 7000, "actor": 1, "what": {"switch": {"pick": 0}}},
{"at": 12000, "actor": 1, "what": {"step": {"update": {"name": "ann", "set": {"phone": "2"}}}}}],
"expected": [{"name": "ann", "fields": {"name": "Ann", "phone": "2"}}]}"#;

const BROUGHT: &str = r#"{
"seed": 1, "healAt": 20000, "backups": false, "resolveAtEnd": false, "faults": {"list": []},
"devices": [{"skewMs": 0, "driftPpm": 0, "latencyMs": 10}, {"skewMs": 0, "driftPpm": 0, "latencyMs": 10}],
"databases": [
{"device": 0, "tenant": "clinic", "user": "anna", "batchSize": 50, "pageSize": 500, "pollMs": 1000, "timeoutMs": 4000},
{"device": 1, "tenant": "clinic", "user": "anna", "batchSize": 50, "pageSize": 500, "pollMs": 1000, "timeoutMs": 4000}],
"contexts": [{"database": 0, "autoSync": true}, {"database": 1, "autoSync": false}],
"actions": [
{"at": 2000, "actor": 1, "what": {"step": {"create": {"name": "rex", "entity": "pet", "set": {"clientId": 4242}}}}},
{"at": 4000, "actor": 1, "what": {"step": {"retry": {"name": "rex"}}}},
{"at": 8000, "actor": 1, "what": {"step": {"carry": {"to": 2}}}},
{"at": 10000, "actor": 2, "what": {"step": "sync"}},
{"at": 12000, "actor": 2, "what": {"step": {"retry": {"name": "rex"}}}},
{"at": 12000, "actor": 2, "what": {"step": {"delete": {"name": "rex"}}}}],
"expected": [{"name": "rex"}]}"#;

#[test]
fn work_that_was_brought_is_annulled_under_every_name_that_it_had_elsewhere() {
    let plan: Plan = serde_json::from_str(BROUGHT).expect("a plan");
    let outcome = run_guarded(&plan, Wanted::default());
    assert_eq!(outcome.violation, None);
    for (mark, times) in [("work carried to another device", 1), ("parked operation sent again", 2), ("coalesced", 1)] {
        assert!(outcome.marks.get(mark).is_some_and(|count| *count >= times), "{mark}: {:?}", outcome.marks);
    }
}

#[test]
fn a_name_is_that_of_a_record_in_the_database_that_is_open() {
    let plan: Plan = serde_json::from_str(SWITCH).expect("a plan");
    let outcome = run_guarded(&plan, Wanted::default());
    assert_eq!(outcome.violation, None);
    assert_eq!(outcome.marks.get("tenant or user switched"), Some(&1));
}
