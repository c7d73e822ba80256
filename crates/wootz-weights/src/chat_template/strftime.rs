//! `strftime_now`: the date that templates write into system prompts.
//!
//! Python's `datetime.strftime` in the C locale, on UTC: a server's answers should not depend on the zone that it
//! happens to stand in.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Where `strftime_now` takes the time from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// Always this time, in seconds since 1970-01-01T00:00:00Z: for tests and for repeatable prompts.
    Fixed(i64),
}

impl Clock {
    /// Seconds since 1970-01-01T00:00:00Z.
    fn seconds(self) -> i64 {
        match self {
            Clock::System => match SystemTime::now().duration_since(UNIX_EPOCH) {
                Ok(since) => since.as_secs() as i64,
                Err(before) => -(before.duration().as_secs() as i64),
            },
            Clock::Fixed(seconds) => seconds,
        }
    }

    /// The time now in the given `strftime` format. A directive that C does not know is left as it stands.
    pub fn strftime(self, format: &str) -> String {
        let time = CivilTime::from_seconds(self.seconds());
        let mut out = String::with_capacity(format.len() + 16);
        time.write(&mut out, format);
        out
    }
}

/// A moment as the proleptic Gregorian calendar names it.
struct CivilTime {
    year: i64,
    /// 1 to 12.
    month: usize,
    /// 1 to 31.
    day: i64,
    /// 0 to 365.
    day_of_year: i64,
    /// 0 is Sunday.
    weekday: usize,
    hour: i64,
    minute: i64,
    second: i64,
    seconds_since_epoch: i64,
}

impl CivilTime {
    fn from_seconds(seconds: i64) -> CivilTime {
        let (days, second_of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // Years that begin in March put the leap day last, so that month lengths follow one formula;
        // eras of 400 years (146,097 days) repeat exactly.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_march_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_march_year + 2) / 153;
        let day = day_of_march_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 } as usize;
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        let before: i64 = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334][month - 1];
        CivilTime {
            year,
            month,
            day,
            day_of_year: before + day - 1 + i64::from(leap && month > 2),
            weekday: (days + 4).rem_euclid(7) as usize,
            hour: second_of_day / 3_600,
            minute: second_of_day / 60 % 60,
            second: second_of_day % 60,
            seconds_since_epoch: seconds,
        }
    }

    fn write(&self, out: &mut String, format: &str) {
        let mut letters = format.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                out.push(letter);
                continue;
            }
            match letters.next() {
                // glibc's flag for "no padding", which templates use in `%-d`.
                Some('-') => match letters.next() {
                    Some(directive) => {
                        let mut field = String::new();
                        self.write_field(&mut field, directive);
                        let trimmed = field.trim_start_matches(['0', ' ']);
                        out.push_str(if trimmed.is_empty() { "0" } else { trimmed });
                    }
                    None => out.push_str("%-"),
                },
                Some(directive) => self.write_field(out, directive),
                None => out.push('%'),
            }
        }
    }

    fn write_field(&self, out: &mut String, directive: char) {
        let hour12 = if self.hour % 12 == 0 { 12 } else { self.hour % 12 };
        let monday_first = (self.weekday + 6) % 7;
        // Writing to a String does not fail.
        let _ = match directive {
            'Y' => write!(out, "{}", self.year),
            'C' => write!(out, "{:02}", self.year.div_euclid(100)),
            'y' => write!(out, "{:02}", self.year.rem_euclid(100)),
            'm' => write!(out, "{:02}", self.month),
            'd' => write!(out, "{:02}", self.day),
            'e' => write!(out, "{:2}", self.day),
            'j' => write!(out, "{:03}", self.day_of_year + 1),
            'H' => write!(out, "{:02}", self.hour),
            'I' => write!(out, "{hour12:02}"),
            'M' => write!(out, "{:02}", self.minute),
            'S' => write!(out, "{:02}", self.second),
            'f' => write!(out, "000000"),
            'p' => write!(out, "{}", if self.hour < 12 { "AM" } else { "PM" }),
            'A' => write!(out, "{}", WEEKDAYS[self.weekday]),
            'a' => write!(out, "{}", &WEEKDAYS[self.weekday][..3]),
            'B' => write!(out, "{}", MONTHS[self.month - 1]),
            'b' | 'h' => write!(out, "{}", &MONTHS[self.month - 1][..3]),
            'w' => write!(out, "{}", self.weekday),
            'u' => write!(out, "{}", monday_first + 1),
            'U' => write!(out, "{:02}", (self.day_of_year + 7 - self.weekday as i64) / 7),
            'W' => write!(out, "{:02}", (self.day_of_year + 7 - monday_first as i64) / 7),
            's' => write!(out, "{}", self.seconds_since_epoch),
            // Python's naive times have neither a zone nor an offset.
            'z' | 'Z' => Ok(()),
            'n' => writeln!(out),
            't' => write!(out, "\t"),
            '%' => write!(out, "%"),
            'F' => return self.write(out, "%Y-%m-%d"),
            'D' | 'x' => return self.write(out, "%m/%d/%y"),
            'T' | 'X' => return self.write(out, "%H:%M:%S"),
            'R' => return self.write(out, "%H:%M"),
            'r' => return self.write(out, "%I:%M:%S %p"),
            'c' => return self.write(out, "%a %b %e %H:%M:%S %Y"),
            unknown => write!(out, "%{unknown}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_agree_with_python() {
        // Python: datetime(2025, 3, 9, 14, 5, 7).strftime(...)
        let clock = Clock::Fixed(1_741_529_107);
        assert_eq!(
            clock.strftime("%d %b %Y, %H:%M:%S %j %U %W %p %I"),
            "09 Mar 2025, 14:05:07 068 10 09 PM 02"
        );
        assert_eq!(
            clock.strftime("%-d %B %A %c %F %% %-m"),
            "9 March Sunday Sun Mar  9 14:05:07 2025 2025-03-09 % 3"
        );
        assert_eq!(Clock::Fixed(951_782_400).strftime("%F %j %a"), "2000-02-29 060 Tue");
        assert_eq!(Clock::Fixed(-1).strftime("%F %T"), "1969-12-31 23:59:59");
        assert_eq!(Clock::Fixed(0).strftime("%"), "%");
    }
}
