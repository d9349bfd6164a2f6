//! Times of the day at which a destination may be sent to.

use std::time::Duration;

/// A range of the day, on some days of the week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryWindow {
    /// The minutes since midnight at which it begins and ends. A window that ends before it begins lasts over
    /// midnight and belongs to the day on which it begins; one with equal ends lasts a whole day.
    pub from_min: u16,
    pub to_min: u16,
    /// The days on which it begins, from Monday.
    pub weekdays: [bool; 7],
}

const DAY_S: u64 = 24 * 60 * 60;

/// The first day of 1970 was a Thursday.
const FIRST_WEEKDAY: u64 = 3;

impl DeliveryWindow {
    /// On every day.
    pub fn daily(from_min: u16, to_min: u16) -> DeliveryWindow {
        DeliveryWindow { from_min, to_min, weekdays: [true; 7] }
    }

    fn length_s(&self) -> u64 {
        let (from, to) = (u64::from(self.from_min % 1440), u64::from(self.to_min % 1440));
        let minutes = if to > from { to - from } else { to + 1440 - from };
        minutes * 60
    }

    /// The seconds until it is open; 0 if it is, `None` if it never opens.
    fn opens_in_s(&self, local_s: u64) -> Option<u64> {
        // A window that began yesterday may still be open.
        let today = local_s / DAY_S;
        let days = today.saturating_sub(1)..=today + 7;
        let begins = days.filter(|day| self.weekdays[((day + FIRST_WEEKDAY) % 7) as usize]);
        let mut begins = begins.map(|day| day * DAY_S + u64::from(self.from_min % 1440) * 60);
        begins.find(|begins| begins + self.length_s() > local_s).map(|begins| begins.saturating_sub(local_s))
    }
}

/// The time until one of the windows is open: zero without windows, a day if none ever opens. `wall` is the
/// time since 1970 in UTC, `utc_offset_min` is added for the local time.
pub fn opens_in(windows: &[DeliveryWindow], wall: Duration, utc_offset_min: i32) -> Duration {
    if windows.is_empty() {
        return Duration::ZERO;
    }
    let local_s = wall.as_secs().saturating_add_signed(i64::from(utc_offset_min) * 60);
    let first = windows.iter().filter_map(|window| window.opens_in_s(local_s)).min();
    Duration::from_secs(first.unwrap_or(DAY_S))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Minutes since midnight on the first Monday of 1970, the fifth of January.
    fn monday(minutes: u64) -> Duration {
        Duration::from_secs(4 * DAY_S + minutes * 60)
    }

    fn minutes(windows: &[DeliveryWindow], wall: Duration) -> u64 {
        opens_in(windows, wall, 0).as_secs() / 60
    }

    #[test]
    fn a_window_opens_and_closes() {
        let lunch = [DeliveryWindow::daily(12 * 60, 13 * 60)];
        assert_eq!(minutes(&lunch, monday(11 * 60)), 60);
        assert_eq!(minutes(&lunch, monday(12 * 60)), 0);
        assert_eq!(minutes(&lunch, monday(12 * 60 + 59)), 0);
        assert_eq!(minutes(&lunch, monday(13 * 60)), 23 * 60, "closed again, until tomorrow");
        assert_eq!(minutes(&[], monday(0)), 0, "no window is no limit");
        assert_eq!(
            minutes(&[DeliveryWindow::daily(600, 600)], monday(599)),
            0,
            "a whole day is every minute"
        );
    }

    #[test]
    fn a_night_goes_over_midnight_and_belongs_to_the_day_it_begins_on() {
        let night = [DeliveryWindow::daily(22 * 60, 6 * 60)];
        assert_eq!(minutes(&night, monday(5 * 60)), 0);
        assert_eq!(minutes(&night, monday(6 * 60)), 16 * 60);
        let mut weekdays = [false; 7];
        weekdays[0] = true;
        let monday_night = [DeliveryWindow { weekdays, ..night[0].clone() }];
        assert_eq!(minutes(&monday_night, monday(5 * 60)), 17 * 60, "Sunday's night is not Monday's");
        assert_eq!(minutes(&monday_night, monday(24 * 60 + 5 * 60)), 0, "Tuesday morning");
        assert_eq!(minutes(&monday_night, monday(24 * 60 + 6 * 60)), 6 * 24 * 60 + 16 * 60);
        assert_eq!(
            minutes(&[DeliveryWindow { weekdays: [false; 7], ..night[0].clone() }], monday(0)),
            24 * 60
        );
    }

    #[test]
    fn local_time_counts_and_the_first_window_to_open() {
        let morning = [DeliveryWindow::daily(8 * 60, 9 * 60), DeliveryWindow::daily(5 * 60, 6 * 60)];
        assert_eq!(minutes(&morning, monday(0)), 5 * 60);
        assert_eq!(opens_in(&morning, monday(0), 120).as_secs() / 60, 3 * 60, "it is two already");
        assert_eq!(opens_in(&morning, monday(0), -60).as_secs() / 60, 6 * 60, "it is still Sunday");
    }
}
