//! The simple comparison of a value with a test: short, slow, and independent of the fast one.

use std::net::IpAddr;

use serde_json::Value;

use crate::criterion::{Number, Order, Place, Test};
use crate::modifier::TimePart;
use crate::pattern::{DASHES, Part, Pattern};

/// The scalars of a field, or `None` if the event has no such field.
pub(super) fn field<'v>(event: &'v Value, name: &str) -> Option<Vec<&'v Value>> {
    let holders = holders(event, name);
    (!holders.is_empty()).then(|| holders.into_iter().flat_map(list_scalars).collect())
}

/// The values under a name: a key as written, or else a path.
fn holders<'v>(value: &'v Value, name: &str) -> Vec<&'v Value> {
    if let Value::Array(list) = value {
        return list.iter().flat_map(|member| holders(member, name)).collect();
    }
    if let Some(inner) = value.get(name) {
        return vec![inner];
    }
    let Some(dot) = name.find('.') else {
        return Vec::new();
    };
    value
        .get(&name[..dot])
        .map(|inner| holders(inner, &name[dot + 1..]))
        .unwrap_or_default()
}

fn list_scalars(value: &Value) -> Vec<&Value> {
    match value {
        Value::Object(_) => Vec::new(),
        Value::Array(list) => list.iter().flat_map(list_scalars).collect(),
        scalar => vec![scalar],
    }
}

/// Every scalar of the event.
pub(super) fn everything(value: &Value) -> Vec<&Value> {
    match value {
        Value::Object(map) => map.values().flat_map(everything).collect(),
        Value::Array(list) => list.iter().flat_map(everything).collect(),
        scalar => vec![scalar],
    }
}

/// Tests for the presence of the field.
pub(super) fn presence_passes(test: &Test, present: bool) -> bool {
    match test {
        Test::Exists(wanted) => present == *wanted,
        Test::Null => !present,
        _ => false,
    }
}

/// Tests on one value.
pub(super) fn value_passes(test: &Test, value: &Value, event: &Value) -> bool {
    match test {
        Test::Exists(_) => false,
        Test::Null => value.is_null(),
        Test::Bool(wanted) => {
            value == &Value::Bool(*wanted)
                || value
                    .as_str()
                    .is_some_and(|text| text.to_ascii_lowercase() == wanted.to_string())
        }
        Test::Text { pattern, cased } => text(value).is_some_and(|text| wildcards(pattern, &text, *cased)),
        Test::Regex(regex) => text(value).is_some_and(|text| regex.find(&text).is_some()),
        Test::Number(wanted) => ordered(value, Order::Equal, *wanted),
        Test::NumberAlone(wanted) => value.is_number() && ordered(value, Order::Equal, *wanted),
        Test::Order(order, wanted) => ordered(value, *order, *wanted),
        Test::Time(part, order, wanted) => {
            time_part(value, *part).is_some_and(|found| ordered(&Value::from(found), *order, *wanted))
        }
        Test::Network(network) => value
            .as_str()
            .and_then(|text| text.trim().parse().ok())
            .is_some_and(|address| {
                let address = match address {
                    IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4),
                    v4 @ IpAddr::V4(_) => v4,
                };
                let bits = |ip: IpAddr| match ip {
                    IpAddr::V4(v4) => (32, u128::from(u32::from(v4))),
                    IpAddr::V6(v6) => (128, u128::from(v6)),
                };
                let ((width, found), (wanted_width, wanted)) = (bits(address), bits(network.network()));
                let shift = u32::from(wanted_width - network.prefix_len());
                width == wanted_width
                    && found.checked_shr(shift).unwrap_or(0) == wanted.checked_shr(shift).unwrap_or(0)
            }),
        Test::Field { name, place, cased } => field(event, name).into_iter().flatten().any(|other| {
            let (Some(ours), Some(theirs)) = (text(value), text(other)) else {
                return false;
            };
            let (before, after) = match place {
                Place::Whole => (false, false),
                Place::Start => (false, true),
                Place::End => (true, false),
                Place::Anywhere => (true, true),
            };
            wildcards(&Pattern::literal(&theirs).open(before, after), &ours, *cased)
        }),
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// Keeps the set of all positions in the pattern that the text read so far can have reached.
fn wildcards(pattern: &Pattern, text: &str, cased: bool) -> bool {
    let mut steps: Vec<(Option<char>, &Part)> = Vec::new();
    for part in &pattern.parts {
        match part {
            Part::Literal(text) => steps.extend(text.chars().map(|c| (Some(c), part))),
            other => steps.push((None, other)),
        }
    }
    let same = |left: char, right: char| left == right || !cased && one_lower(left) == one_lower(right);
    let mut places = vec![false; steps.len() + 1];
    places[0] = true;
    let over_runs = |places: &mut Vec<bool>| {
        for (place, (_, part)) in steps.iter().enumerate() {
            places[place + 1] |= places[place] && matches!(part, Part::AnyRun);
        }
    };
    over_runs(&mut places);
    for c in text.chars() {
        let mut next = vec![false; places.len()];
        for (place, (wanted, part)) in steps.iter().enumerate().filter(|(place, _)| places[*place]) {
            match part {
                Part::AnyRun => next[place] = true,
                Part::AnyOne => next[place + 1] = true,
                Part::Dash => next[place + 1] |= DASHES.contains(&c),
                Part::Literal(_) => next[place + 1] |= wanted.is_some_and(|wanted| same(wanted, c)),
                Part::Placeholder(_) => {}
            }
        }
        over_runs(&mut next);
        places = next;
    }
    places[steps.len()]
}

fn one_lower(c: char) -> char {
    let lower: Vec<char> = c.to_lowercase().collect();
    if lower.len() == 1 { lower[0] } else { c }
}

fn ordered(value: &Value, order: Order, wanted: Number) -> bool {
    let found = match value {
        Value::Number(number) => Number::from_value(number),
        Value::String(text) => Number::from_text(text),
        _ => None,
    };
    let Some(found) = found else { return false };
    let (less, equal) = match (found, wanted) {
        (Number::Int(found), Number::Int(wanted)) => (found < wanted, found == wanted),
        (found, wanted) => {
            let real = |number| match number {
                Number::Int(number) => number as f64,
                Number::Float(number) => number,
            };
            (real(found) < real(wanted), real(found) == real(wanted))
        }
    };
    match order {
        Order::Equal => equal,
        Order::Less => less,
        Order::LessOrEqual => less || equal,
        Order::Greater => !less && !equal,
        Order::GreaterOrEqual => !less,
    }
}

/// Parses a time by stepping through the calendar year by year from 0001-01-01.
fn time_part(value: &Value, part: TimePart) -> Option<i64> {
    const TO_1970: i64 = 719_162;
    let text = match value {
        Value::Number(number) => number.as_i128()?.to_string(),
        Value::String(text) => text.trim().to_owned(),
        _ => return None,
    };
    let seconds = match text.parse::<i128>() {
        Ok(number) => {
            let digits = number.unsigned_abs().to_string().len();
            let unit = match digits {
                0..=11 => 1,
                12..=14 => 1_000,
                15..=17 => 1_000_000,
                _ => 1_000_000_000,
            };
            let seconds = number.div_euclid(unit);
            (seconds.abs() < 1 << 40).then_some(i64::try_from(seconds).ok()?)? + TO_1970 * 86_400
        }
        Err(_) => written_seconds(&text)?,
    };
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (mut year, mut left) = (1, days);
    // 400 years are 146 097 days; going back or forth in whole cycles changes no calendar.
    year += left.div_euclid(146_097) * 400;
    left = left.rem_euclid(146_097);
    while left >= year_days(year) {
        left -= year_days(year);
        year += 1;
    }
    let day_of_year = left;
    let mut month = 1;
    while left >= month_days(year, month) {
        left -= month_days(year, month);
        month += 1;
    }
    Some(match part {
        TimePart::Year => year,
        TimePart::Month => month,
        TimePart::Day => left + 1,
        TimePart::Hour => of_day / 3_600,
        TimePart::Minute => of_day % 3_600 / 60,
        TimePart::Week => {
            // 0001-01-01 was a Monday. ISO 8601: the week with the year's first Thursday is week 1.
            let weekday = days.rem_euclid(7) + 1;
            let week = (day_of_year + 1 - weekday + 10) / 7;
            let weeks = |year: i64, first_weekday: i64| {
                if first_weekday == 4 || first_weekday == 3 && year_days(year) == 366 {
                    53
                } else {
                    52
                }
            };
            let first = (days - day_of_year).rem_euclid(7) + 1;
            let first_before = (days - day_of_year - year_days(year - 1)).rem_euclid(7) + 1;
            match week {
                0 => weeks(year - 1, first_before),
                53 if weeks(year, first) == 52 => 1,
                other => other,
            }
        }
    })
}

fn year_days(year: i64) -> i64 {
    if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) {
        366
    } else {
        365
    }
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 => year_days(year) - 337,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Seconds since 0001-01-01 of an RFC 3339 time.
fn written_seconds(text: &str) -> Option<i64> {
    let shape = regex::Regex::new(
        r"^([0-9]{1,4})-([0-9]{1,4})-([0-9]{1,4})[Tt ]([0-9]{1,4}):([0-9]{1,4})(?::([0-9]{1,4}))?(?:\.[^Zz+-]*)?(?:[Zz]|([+-])([0-9]{1,4}):([0-9]{1,4}))?$",
    )
    .ok()?;
    let parts = shape.captures(text)?;
    let number = |group: usize| {
        parts
            .get(group)
            .map_or(Some(0), |digits| digits.as_str().parse::<i64>().ok())
    };
    let (year, month, day) = (number(1)?, number(2)?, number(3)?);
    let (hour, minute, second) = (number(4)?, number(5)?, number(6)?);
    let (offset_hours, offset_minutes) = (number(8)?, number(9)?);
    let sound = year >= 1 && (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60;
    if !sound || second > 60 || offset_hours > 23 || offset_minutes > 59 {
        return None;
    }
    let days: i64 = (1..year).map(year_days).sum::<i64>()
        + (1..month).map(|month| month_days(year, month)).sum::<i64>()
        + day
        - 1;
    let offset = (offset_hours * 60 + offset_minutes) * 60;
    let east = parts.get(7).is_some_and(|sign| sign.as_str() == "+");
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second - if east { offset } else { -offset })
}
