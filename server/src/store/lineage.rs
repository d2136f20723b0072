//! What a new epoch begins with. A server that was restored from a backup has forgotten which numbers it issued
//! after it; its clients have not. Whatever it issues from now on must be a number that none of them can have met.

/// Numbers that are left out by a server whose clock was set back: more than one epoch of a tenant can use up.
const LEAP: u64 = 1 << 32;
/// Numbers left out for every millisecond since [`SINCE_MS`]: more than a server commits in one. So a backup that
/// is restored a second time leads beyond what was issued after the first time, of which it knows nothing.
const PER_MS: u64 = 1 << 11;
/// 2025-01-01. From here, `PER_MS` stays within the safe integers until the year 2164.
const SINCE_MS: u64 = 1_735_689_600_000;
/// The largest number that every JSON reader keeps as it is.
pub(crate) const SAFE_MAX: u64 = (1 << 53) - 1;

/// Up to which number the epochs before one that begins now may have issued versions and integer IDs. `highest`
/// is the highest that the backup knows of.
pub fn issued_before(highest: u64, now_ms: u64) -> u64 {
    if fieldsync::planted::is(fieldsync::planted::Bug::ServerNumbersAgain) {
        return highest;
    }
    let by_time = now_ms.saturating_sub(SINCE_MS).saturating_mul(PER_MS);
    // Time leads on from every restore before, whichever backup it was of. Not so the leap: from one backup it leads
    // to the same place each time, so it is only for a clock that was set back.
    let issued = if by_time > highest { by_time } else { highest.saturating_add(LEAP) };
    assert!(issued < SAFE_MAX - LEAP, "the numbers of this server are used up, or its clock stands centuries ahead");
    issued
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_restore_leads_beyond_the_one_before() {
        const NOW_MS: u64 = 1_800_000_000_000;
        let first = issued_before(7, NOW_MS);
        assert!(first >= LEAP + 7);
        // The same backup again, a minute later, after a million records a minute.
        assert!(issued_before(7, NOW_MS + 60_000) > first + 1_000_000);
        // A backup of the second epoch, twice within a minute.
        let second = issued_before(first + 5, NOW_MS + 10_000);
        assert!(second > first + 5 + 1_000_000 && issued_before(first + 5, NOW_MS + 20_000) > second + 1_000_000);
        // A backup of the second epoch, by a clock that was set back.
        assert_eq!(issued_before(first + 5, 0), first + 5 + LEAP);
    }
}
