//! Every plan that once broke a promise is run for ever.

use std::path::{Path, PathBuf};

use fieldsync_simulation::swarm::run_guarded;
use fieldsync_simulation::{Wanted, file};

#[test]
fn no_kept_plan_breaks_a_promise_again() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(&folder).expect("the folder of plans").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort_unstable();
    assert!(!paths.is_empty(), "{}", folder.display());
    for path in paths {
        let kept = file::read(&path).expect("a plan");
        assert!(kept.why.len() > 20, "{}: say what was wrong", path.display());
        let outcome = run_guarded(&kept.plan, Wanted::default());
        assert_eq!(outcome.violation, None, "{}: {}", path.display(), kept.why);
        // A run that does not come by what it is kept for would hold whatever is wrong.
        assert!(!kept.needs.is_empty(), "{}: say what must come to pass", path.display());
        assert_eq!(kept.missed(&outcome), [""; 0], "{}", path.display());
        // What is written can be read: the same plan again.
        let copy = std::env::temp_dir().join(format!("{}-{}", std::process::id(), path.file_name().expect("a name").to_string_lossy()));
        file::write(&copy, &kept).expect("written");
        let again = file::read(&copy).expect("read back");
        std::fs::remove_file(&copy).expect("removed");
        assert_eq!((again.plan, again.why, again.invariant, again.needs), (kept.plan, kept.why, kept.invariant, kept.needs));
    }
}
