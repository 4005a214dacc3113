//! Which nested groups are followed: not those that include each other, and not those too deep.
//!
//! Reads the rules of all groups, and notes on each group why its nested groups are not followed. Start reading at
//! [`Account::close`].

use super::Account;
use crate::access::rule::Selector;
use petgraph::graph::{DiGraph, NodeIndex};

/// Groups nested deeper than this are not followed. Chosen: far beyond any sensible nesting, far below what the
/// stack bears.
const DEPTH_MAX: usize = 64;

impl Account {
    /// Finds groups that include each other (circular reference), or nest too deep. After this the account is
    /// complete.
    pub fn close(&mut self) {
        let mut graph: DiGraph<(), ()> = DiGraph::with_capacity(self.groups.len(), 0);
        let nodes: Vec<NodeIndex> = self.groups.iter().map(|_| graph.add_node(())).collect();
        let mut named = Vec::new();
        for (at, group) in self.groups.iter().enumerate() {
            for selector in group.rules.all() {
                if let Selector::Group(id) = selector
                    && let Some(nested) = self.by_id.get(id)
                {
                    graph.update_edge(nodes[at], nodes[*nested], ());
                    named.push(*nested);
                }
            }
        }
        for nested in named {
            self.groups[nested].is_nested = true;
        }
        // Components come innermost first, so that every nested group has its depth before those around it.
        let mut depth = vec![0_usize; self.groups.len()];
        for component in petgraph::algo::kosaraju_scc(&graph) {
            let first = component[0];
            let in_circle = component.len() > 1 || graph.contains_edge(first, first);
            for node in component {
                let at = node.index();
                let below = graph
                    .neighbors(node)
                    .map(|nested| depth[nested.index()] + 1)
                    .max();
                depth[at] = if in_circle { 0 } else { below.unwrap_or(0) };
                self.groups[at].unfollowed = if in_circle {
                    Some("groups that include each other (circular reference)")
                } else if depth[at] > DEPTH_MAX {
                    depth[at] = 0;
                    Some("groups nested too deeply to evaluate")
                } else {
                    None
                };
            }
        }
        self.broad = (0..self.groups.len())
            .filter(|at| self.groups[*at].is_broad)
            .collect();
    }
}
