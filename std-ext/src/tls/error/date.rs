//! The day of a time, for messages.

use core::fmt;
use std::time::SystemTime;

/// Shows the day of a time, in UTC.
pub(super) struct Date(pub(super) SystemTime);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(since_epoch) = self.0.duration_since(SystemTime::UNIX_EPOCH) else {
            return f.write_str("before 1970");
        };
        // Counts in years that begin with March, so that a leap day is a year's last: from
        // 0000-03-01 on, in eras of 400 years.
        let days = since_epoch.as_secs() / 86_400 + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn a_day_is_that_of_the_calendar() {
        let days = [
            (0, "1970-01-01"),
            (59, "1970-03-01"),
            (789, "1972-02-29"),
            (10_957, "2000-01-01"),
            (11_016, "2000-02-29"),
            (18_261, "2019-12-31"),
            (18_262, "2020-01-01"),
            (19_782, "2024-02-29"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
            (2_932_896, "9999-12-31"),
        ];
        for (day, text) in days {
            let begin = SystemTime::UNIX_EPOCH + Duration::from_secs(day * 86_400);
            assert_eq!(Date(begin).to_string(), text);
            assert_eq!(Date(begin + Duration::from_secs(86_399)).to_string(), text);
        }
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(Date(before).to_string(), "before 1970");
    }
}
