//! Finds the known prefixes and suffixes of a text, by walking a trie over the text until no known affix continues.

/// Texts with their marks, as a tree of bytes (a trie).
#[derive(Debug, Default)]
pub(super) struct Affixes {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    /// By byte, in order.
    next: Vec<(u8, u32)>,
    marks: Vec<u32>,
}

impl Affixes {
    /// Adds a text, byte by byte in the order of the walk.
    pub(super) fn add(&mut self, bytes: impl Iterator<Item = u8>, marks: &[u32]) {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let mut at = 0;
        for byte in bytes {
            at = match self.nodes[at].next.binary_search_by_key(&byte, |edge| edge.0) {
                Ok(edge) => self.nodes[at].next[edge].1 as usize,
                Err(edge) => {
                    let new = self.nodes.len();
                    self.nodes.push(Node::default());
                    // Rules hold fewer bytes than this has numbers.
                    let number = u32::try_from(new).unwrap_or(u32::MAX);
                    self.nodes[at].next.insert(edge, (byte, number));
                    new
                }
            };
        }
        self.nodes[at].marks.extend_from_slice(marks);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Calls `put` with the marks of each text that is a prefix of these bytes.
    #[inline]
    pub(super) fn walk(&self, bytes: impl Iterator<Item = u8>, mut put: impl FnMut(u32)) {
        let Some(mut node) = self.nodes.first() else {
            return;
        };
        node.marks.iter().for_each(|mark| put(*mark));
        for byte in bytes {
            let next = match node.next.as_slice() {
                [only] => (only.0 == byte).then_some(only.1),
                edges => edges
                    .binary_search_by_key(&byte, |edge| edge.0)
                    .ok()
                    .map(|edge| edges[edge].1),
            };
            let Some(next) = next else { return };
            node = &self.nodes[next as usize];
            node.marks.iter().for_each(|mark| put(*mark));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_that_it_begins_with_is_found() {
        let mut affixes = Affixes::default();
        for (mark, text) in ["abc", "ab", "b", "abd", "", "abc"].into_iter().enumerate() {
            affixes.add(text.bytes(), &[u32::try_from(mark).unwrap()]);
        }
        let found = |text: &str| {
            let mut found = Vec::new();
            affixes.walk(text.bytes(), |mark| found.push(mark));
            found.sort_unstable();
            found
        };
        assert_eq!(found("abcd"), [0, 1, 4, 5]);
        assert_eq!(found("abd"), [1, 3, 4]);
        assert_eq!(found("bab"), [2, 4]);
        assert_eq!(found("x"), [4]);
    }
}
