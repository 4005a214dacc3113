//! A rule's condition over marks, and its witnesses: the marks of which at least one must be set for a match.

use super::fields::Cost;

/// A condition over marks and the tests that run on demand.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Mark(u32),
    /// A test that runs on demand, by index.
    Test(u32),
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    AtLeast(usize, Vec<Node>),
}

/// Marks of which at least one must be set, and their total cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Witness {
    pub(super) marks: Vec<u32>,
    cost: Cost,
}

/// The known costs of marks and tests, for the choice of witnesses.
pub(super) trait Costs {
    fn mark(&self, mark: u32) -> Cost;
    /// A mark that is always set if the test is true.
    fn hint(&self, test: u32) -> Option<u32>;
}

impl Node {
    /// A condition that is never true.
    pub(super) fn never() -> Self {
        Self::Or(Vec::new())
    }

    /// Combines one or more nodes into one.
    pub(super) fn any(mut nodes: Vec<Self>) -> Self {
        if nodes.len() == 1 {
            nodes.swap_remove(0)
        } else {
            Self::Or(nodes)
        }
    }

    /// Combines one or more nodes into one.
    pub(super) fn every(mut nodes: Vec<Self>) -> Self {
        if nodes.len() == 1 {
            nodes.swap_remove(0)
        } else {
            Self::And(nodes)
        }
    }

    /// Whether the condition is true. `test` runs a test.
    pub(super) fn holds(&self, has: &impl Fn(u32) -> bool, test: &mut impl FnMut(u32) -> bool) -> bool {
        match self {
            Self::Mark(mark) => has(*mark),
            Self::Test(place) => test(*place),
            Self::And(inner) => inner.iter().all(|one| one.holds(has, test)),
            Self::Or(inner) => inner.iter().any(|one| one.holds(has, test)),
            Self::Not(inner) => !inner.holds(has, test),
            Self::AtLeast(needed, inner) => {
                let mut held = 0;
                *needed == 0
                    || inner.iter().any(|one| {
                        held += usize::from(one.holds(has, test));
                        held == *needed
                    })
            }
        }
    }

    /// The cheapest set of marks of which at least one is set whenever the condition is true; `None` if the condition
    /// can be true without a mark.
    pub(super) fn witness(&self, costs: &impl Costs) -> Option<Witness> {
        match self {
            Self::Mark(mark) => Some(Witness {
                marks: vec![*mark],
                cost: costs.mark(*mark),
            }),
            Self::Test(test) => costs.hint(*test).map(|mark| Witness {
                marks: vec![mark],
                cost: costs.mark(mark),
            }),
            Self::And(inner) => inner
                .iter()
                .filter_map(|one| one.witness(costs))
                .min_by_key(|witness| witness.cost),
            Self::Or(inner) => union(
                inner
                    .iter()
                    .map(|one| one.witness(costs))
                    .collect::<Option<_>>()?,
            ),
            Self::Not(inner) => match inner.as_ref() {
                Self::Not(inner) => inner.witness(costs),
                Self::Or(inner) => inner
                    .iter()
                    .filter_map(|one| Self::Not(Box::new(one.clone())).witness(costs))
                    .min_by_key(|witness| witness.cost),
                _ => None,
            },
            Self::AtLeast(needed, inner) => {
                // One of any (all − needed + 1) must hold.
                let enough = (inner.len() + 1).checked_sub(*needed).filter(|_| *needed > 0)?;
                let mut witnesses: Vec<Witness> = inner.iter().filter_map(|one| one.witness(costs)).collect();
                witnesses.sort_by_key(|witness| witness.cost);
                if witnesses.len() < enough {
                    return None;
                }
                witnesses.truncate(enough);
                union(witnesses)
            }
        }
    }
}

fn union(witnesses: Vec<Witness>) -> Option<Witness> {
    let cost = witnesses
        .iter()
        .fold(0, |sum: Cost, witness| sum.saturating_add(witness.cost));
    let mut marks: Vec<u32> = witnesses.into_iter().flat_map(|witness| witness.marks).collect();
    marks.sort_unstable();
    marks.dedup();
    Some(Witness { marks, cost })
}
