//! What modules keep in memory for as long as the process runs. Each module owns the type of its slot, so that
//! [`crate::app::App`] knows none of them.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// One slot for each type.
#[derive(Default)]
pub(crate) struct Slots(Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>);

impl Slots {
    /// The slot of a type, made when it is asked for the first time.
    pub(crate) fn of<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(make()));
        Arc::clone(slot)
            .downcast()
            .expect("a slot holds the type that it is found by")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_made_once_and_each_type_has_its_own() {
        let slots = Slots::default();
        let first = slots.of(|| 1_u8);
        assert_eq!(*slots.of(|| 2_u8), 1);
        assert!(Arc::ptr_eq(&first, &slots.of(|| 3_u8)));
        assert_eq!(*slots.of(|| "other"), "other");
    }
}
