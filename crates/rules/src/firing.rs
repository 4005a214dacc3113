//! Lets watches fire over the matches of their groups, without a store: for files, the archive and test cases.
//!
//! Start reading at [`fire`].

use super::matches::Groups;
use super::watch::Watch;
use sigma::PartOf;
use std::collections::BTreeMap;

/// A firing of a watch for a group.
pub struct Fired {
    /// The rule or correlation that is reported.
    pub reports: PartOf,
    /// The values of the group by field.
    pub group: BTreeMap<String, String>,
    /// The number of the last record that it needed.
    pub id: u64,
    /// The number of its matches.
    pub count: usize,
    /// A description of the result.
    pub detail: String,
}

/// Lets every watch fire. Watches that others refer to are first.
pub fn fire(watches: &[Watch], mut groups: Groups) -> Vec<Fired> {
    let mut fired = Vec::new();
    for (place, watch) in watches.iter().enumerate() {
        for key in groups.of(place) {
            let shown = groups.shown(place, &key);
            let mut matches = groups.take(place, &key);
            for firing in watch.firings(&mut matches) {
                // Ids here are numbers of 64 bits.
                let id = firing.id as u64;
                for (outer, part, values) in &watch.outers {
                    let outer_key: Vec<String> = values.iter().map(|value| key[*value].clone()).collect();
                    groups.derive(*outer, outer_key, *part, firing.at_ns, id);
                }
                fired.push(Fired {
                    reports: watch.reports,
                    group: watch
                        .group_by
                        .iter()
                        .cloned()
                        .zip(shown.iter().cloned())
                        .collect(),
                    id,
                    count: firing.count,
                    detail: firing.detail,
                });
            }
        }
    }
    fired
}
