//! Whether the clock of a machine is believed, and times as people write them.
//!
//! A clock that is wrong must neither make entries expire nor have them rotated: it is compared with the time of the vault's newest commit, which a
//! clock that is not believed does not move.

/// How far behind the newest commit a clock may be, in milliseconds: a day.
pub const BEHIND: u64 = DAY;
/// How far ahead of the newest commit a clock may be, in milliseconds: three years.
pub const AHEAD: u64 = 1096 * DAY;

const DAY: u64 = 86_400_000;

/// What a clock says, beside what the vault says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    now: u64,
    newest: Option<u64>,
    trusted: bool,
}

/// How a clock stands to the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belief {
    /// It may be right.
    Believed,
    /// It is too far ahead.
    Ahead,
    /// It is too far behind.
    Behind,
}

impl Clock {
    /// A clock that says `now`, beside the time of the newest commit, if there is one. One that is trusted is believed whatever it says.
    pub fn new(now: u64, newest: Option<u64>, trusted: bool) -> Self {
        Self { now, newest, trusted }
    }

    /// Whether it is believed.
    pub fn belief(&self) -> Belief {
        match self.newest {
            Some(newest) if !self.trusted && self.now > newest.saturating_add(AHEAD) => Belief::Ahead,
            Some(newest) if !self.trusted && self.now < newest.saturating_sub(BEHIND) => Belief::Behind,
            _ => Belief::Believed,
        }
    }

    /// What it says.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// When the newest commit was made.
    pub fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// The time by which readers judge what has expired: no clock makes more expire than three years after the newest commit would.
    pub fn for_reading(&self) -> u64 {
        match (self.belief(), self.newest) {
            (Belief::Ahead, Some(newest)) => newest.saturating_add(AHEAD),
            _ => self.now,
        }
    }

    /// The time that a commit notes. It does not go back, and follows only what is believed; a clock that is trusted sets it.
    pub fn for_commit(&self) -> u64 {
        match (self.belief(), self.newest) {
            (Belief::Believed, Some(newest)) if !self.trusted => self.now.max(newest),
            (Belief::Believed, _) => self.now,
            (_, newest) => newest.unwrap_or(self.now),
        }
    }
}

/// A duration such as `90s`, `12h` or `30d`, in milliseconds. Days have 24 hours, weeks 7 days; months and years have no length.
pub fn duration(text: &str) -> Option<u64> {
    let span: jiff::Span = text.parse().ok()?;
    if span.get_months() != 0 || span.get_years() != 0 {
        return None;
    }
    u64::try_from(span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?.as_millis()).ok()
}

/// A time as RFC 3339 spells it, with an offset; in milliseconds.
pub fn moment(text: &str) -> Option<u64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok()
}

/// The day that a date such as `2027-01-31` names, in UTC: when it begins, and when the next one does.
pub fn day(text: &str) -> Option<(u64, u64)> {
    // The parser of dates would also take what has a time behind it, and pass over that.
    if text.len() != "2027-01-31".len() {
        return None;
    }
    let date: jiff::civil::Date = text.parse().ok()?;
    let start = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond();
    u64::try_from(start).ok().map(|start| (start, start.saturating_add(DAY)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const T: u64 = 1_700_000_000_000;

    #[test]
    fn a_clock_is_believed_within_a_day_and_three_years() {
        let belief = |now| Clock::new(now, Some(T), false).belief();
        for now in [T, T - BEHIND, T + AHEAD] {
            assert_eq!(belief(now), Belief::Believed);
        }
        assert_eq!((belief(T - BEHIND - 1), belief(T + AHEAD + 1)), (Belief::Behind, Belief::Ahead));
        assert_eq!((belief(0), belief(u64::MAX)), (Belief::Behind, Belief::Ahead));
        // Without a commit, or trusted, it may say anything.
        for now in [0, T, u64::MAX] {
            assert_eq!(Clock::new(now, None, false).belief(), Belief::Believed);
            assert_eq!(Clock::new(now, Some(T), true).belief(), Belief::Believed);
        }
    }

    #[test]
    fn what_is_not_believed_moves_nothing() {
        let clock = |now, trusted| Clock::new(now, Some(T), trusted);
        let twenty_years = T + 20 * 365 * DAY;
        assert_eq!(clock(T + 5, false).for_reading(), T + 5);
        assert_eq!(clock(twenty_years, false).for_reading(), T + AHEAD);
        assert_eq!(clock(twenty_years, true).for_reading(), twenty_years);
        assert_eq!(clock(0, false).for_reading(), 0);
        for (now, trusted, commit) in [
            (T + 5, false, T + 5),
            // Believed, and behind: what was committed before stays the newest.
            (T - 5, false, T),
            (T - 5, true, T - 5),
            (twenty_years, false, T),
            (twenty_years, true, twenty_years),
            (0, false, T),
            (0, true, 0),
        ] {
            assert_eq!(clock(now, trusted).for_commit(), commit, "{now} {trusted}");
        }
        assert_eq!(Clock::new(7, None, false).for_commit(), 7);
    }

    #[test]
    fn times_as_people_write_them() {
        assert_eq!((duration("90s"), duration("2w"), duration("1d12h")), (Some(90_000), Some(14 * DAY), Some(36 * 3_600_000)));
        assert_eq!(
            (duration("1mo"), duration("1y"), duration("-1d"), duration("5"), duration("")),
            (None, None, None, None, None)
        );
        assert_eq!(moment("1970-01-02T01:00:00+01:00"), Some(DAY));
        assert_eq!((moment("1970-01-02T00:00:00"), moment("1969-12-31T23:59:59Z"), moment("1970-01-02")), (None, None, None));
        assert_eq!(day("1970-01-02"), Some((DAY, 2 * DAY)));
        assert_eq!((day("1970-01-02T00:00:00Z"), day("1970-02-30"), day("1970-1-2"), day("soon")), (None, None, None, None));
    }
}
