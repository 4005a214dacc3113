//! Matches in memory while rules run over files or an archive, in a compact form for each group.

use super::detector::{Match, MatchValue};
use super::watch::WatchMatch;
use std::collections::HashMap;
use std::sync::Arc;

/// Matches by watch and group.
#[derive(Debug, Default)]
pub struct Groups {
    by_group: hashbrown::HashMap<(usize, Box<[String]>), Vec<Row>>,
    /// The earliest record of a group whose values are written differently from their form for comparison.
    written: hashbrown::HashMap<(usize, Box<[String]>), Written>,
    texts: Vec<Arc<str>>,
    text_places: HashMap<Arc<str>, u32>,
    numbers: Vec<f64>,
    /// The number of stored matches.
    pub count: usize,
}

/// The time and number of a record, and its values as written.
type Written = (i64, u64, Box<[String]>);

/// A match in 24 bytes.
#[derive(Debug, Clone, Copy)]
struct Row {
    at_ns: i64,
    id: u64,
    part: u16,
    kind: ValueKind,
    value: u32,
}

#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum ValueKind {
    None,
    Text,
    Number,
}

impl Groups {
    /// Stores a match of a record; the number identifies the record.
    pub fn add(&mut self, one: Match, at_ns: i64, id: u64) {
        if let Some(written) = one.written {
            let group = (one.watch, one.key.clone().into_boxed_slice());
            self.write(group, (at_ns, id, written.into()));
        }
        self.push(one.watch, one.key, at_ns, id, one.part, one.value);
    }

    fn write(&mut self, group: (usize, Box<[String]>), written: Written) {
        let known = self.written.entry(group).or_insert_with(|| written.clone());
        if (written.0, written.1) < (known.0, known.1) {
            *known = written;
        }
    }

    /// The values of a group as written in its earliest record.
    pub fn shown(&self, watch: usize, key: &[String]) -> Vec<String> {
        let group = (watch, Box::from(key));
        let rows = self.by_group.get(&group).into_iter().flatten();
        let first = rows.map(|row| (row.at_ns, row.id)).min();
        match self.written.get(&group) {
            Some((at_ns, id, written)) if Some((*at_ns, *id)) == first => written.to_vec(),
            _ => key.to_vec(),
        }
    }

    fn push(
        &mut self,
        watch: usize,
        key: Vec<String>,
        at_ns: i64,
        id: u64,
        part: usize,
        value: Option<MatchValue>,
    ) {
        let place = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let (kind, value) = match value {
            None => (ValueKind::None, 0),
            Some(MatchValue::Number(number)) => {
                self.numbers.push(number);
                (ValueKind::Number, place(self.numbers.len() - 1))
            }
            Some(MatchValue::Text(text)) => {
                let known = self.text_places.get(text.as_str()).copied();
                let place = known.unwrap_or_else(|| {
                    let text: Arc<str> = text.into();
                    self.texts.push(Arc::clone(&text));
                    let place = place(self.texts.len() - 1);
                    self.text_places.insert(text, place);
                    place
                });
                (ValueKind::Text, place)
            }
        };
        self.count += 1;
        self.by_group
            .entry((watch, key.into_boxed_slice()))
            .or_default()
            .push(Row {
                at_ns,
                id,
                // The reader of rules allows far fewer.
                part: u16::try_from(part).unwrap_or(u16::MAX),
                kind,
                value,
            });
    }

    /// Stores a firing of a watch for another watch that refers to it.
    pub fn derive(&mut self, watch: usize, key: Vec<String>, part: usize, at_ns: i64, id: u64) {
        self.push(watch, key, at_ns, id, part, None);
    }

    fn unpacked(&self, row: Row) -> WatchMatch {
        let place = row.value as usize;
        WatchMatch {
            at_ns: row.at_ns,
            part: row.part.into(),
            id: row.id.into(),
            value: match row.kind {
                ValueKind::None => None,
                ValueKind::Text => Some(MatchValue::Text(self.texts[place].to_string())),
                ValueKind::Number => Some(MatchValue::Number(self.numbers[place])),
            },
        }
    }

    /// Adds the matches of another thread.
    pub fn merge(&mut self, other: Self) {
        if self.count == 0 {
            *self = other;
            return;
        }
        for (group, written) in &other.written {
            self.write(group.clone(), written.clone());
        }
        for ((watch, key), rows) in &other.by_group {
            for row in rows {
                let one = other.unpacked(*row);
                self.push(*watch, key.to_vec(), one.at_ns, row.id, one.part, one.value);
            }
        }
    }

    /// The groups of one watch, by their values.
    pub fn of(&self, watch: usize) -> Vec<Box<[String]>> {
        let ours = self.by_group.keys().filter(|(of, _)| *of == watch);
        let mut keys: Vec<Box<[String]>> = ours.map(|(_, key)| key.clone()).collect();
        keys.sort_unstable();
        keys
    }

    /// Removes and returns the matches of one group.
    pub fn take(&mut self, watch: usize, key: &[String]) -> Vec<WatchMatch> {
        let rows = self.by_group.remove(&(watch, key.into())).unwrap_or_default();
        rows.into_iter().map(|row| self.unpacked(row)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_key(watch: usize, key: &str, value: Option<MatchValue>) -> Match {
        Match {
            watch,
            part: 1,
            key: vec![key.to_owned()],
            written: None,
            value,
        }
    }

    #[test]
    fn a_group_is_shown_as_its_earliest_record_writes_it() {
        let spelled = |key: &str| Match {
            written: Some(vec![key.to_owned()]),
            ..of_key(0, "ana", None)
        };
        let mut groups = Groups::default();
        groups.add(spelled("ANA"), 5, 5);
        groups.add(spelled("Ana"), 3, 3);
        assert_eq!(groups.shown(0, &["ana".to_owned()]), ["Ana"]);
        let mut other = Groups::default();
        other.add(of_key(0, "ana", None), 2, 2);
        groups.merge(other);
        assert_eq!(groups.shown(0, &["ana".to_owned()]), ["ana"]);
        assert_eq!(groups.of(0).len(), 1);
    }

    #[test]
    fn what_is_kept_comes_back_as_it_was_also_from_another_thread() {
        let values = [
            None,
            Some(MatchValue::Text("a".to_owned())),
            Some(MatchValue::Number(2.5)),
            Some(MatchValue::Text("a".to_owned())),
            Some(MatchValue::Text(String::new())),
        ];
        let mut groups = Groups::default();
        let mut other = Groups::default();
        other.add(of_key(0, "z", Some(MatchValue::Text("other".to_owned()))), 9, 9);
        for (id, value) in (0..).zip(&values) {
            let to = if id < 2 { &mut groups } else { &mut other };
            to.add(of_key(0, "k", value.clone()), -5, id);
        }
        groups.merge(other);
        assert_eq!(groups.count, 6);
        assert_eq!(
            groups.of(0),
            [vec!["k".to_owned()].into(), vec!["z".to_owned()].into()]
        );
        let matches = groups.take(0, &["k".to_owned()]);
        let expected: Vec<WatchMatch> = (0..)
            .zip(values)
            .map(|(id, value)| WatchMatch {
                at_ns: -5,
                part: 1,
                id,
                value,
            })
            .collect();
        assert_eq!(matches, expected);
        assert!(groups.take(0, &["k".to_owned()]).is_empty());
        assert_eq!(std::mem::size_of::<Row>(), 24);
    }
}
