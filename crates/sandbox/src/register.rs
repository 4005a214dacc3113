//! A list that keeps its order and finds items by id quickly, for lists with tens of thousands of items.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};

/// An item with an id that never changes.
pub(crate) trait HasId {
    fn id(&self) -> &str;
}

/// Can be read as a slice. Only its own methods add and remove items, to keep the index correct.
#[derive(Debug, Clone)]
pub(crate) struct Register<T> {
    items: Vec<T>,
    at: HashMap<String, usize>,
}

impl<T: HasId> Register<T> {
    pub(crate) fn new(items: Vec<T>) -> Self {
        let places = items.iter().enumerate();
        let at = places.map(|(at, item)| (item.id().to_owned(), at)).collect();
        Self { items, at }
    }

    pub(crate) fn position(&self, id: &str) -> Option<usize> {
        self.at.get(id).copied()
    }

    pub(crate) fn find(&self, id: &str) -> Option<&T> {
        self.position(id).map(|at| &self.items[at])
    }

    pub(crate) fn push(&mut self, item: T) {
        self.at.insert(item.id().to_owned(), self.items.len());
        self.items.push(item);
    }

    pub(crate) fn remove(&mut self, at: usize) -> T {
        let item = self.items.remove(at);
        self.at.remove(item.id());
        for place in self.at.values_mut().filter(|place| **place > at) {
            *place -= 1;
        }
        item
    }
}

impl<T> Deref for Register<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<T> DerefMut for Register<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items
    }
}
