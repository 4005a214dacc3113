//! A person's risk level.

use crate::state::word_enum;

word_enum! {
    /// The highest level of a behaviour that was triggered since the last reset.
    ///
    /// Ordered: unscored < low < medium < high. `Unscored` means that nothing was triggered, which differs from low.
    #[derive(Default)]
    RiskLevel {
        /// Nothing triggered since the last reset.
        #[default]
        Unscored = "unscored",
        /// For information.
        Low = "low",
        /// Should be investigated.
        Medium = "medium",
        /// Needs immediate action.
        High = "high",
    }
}

#[cfg(test)]
mod tests {
    use super::RiskLevel;

    #[test]
    fn levels_are_ordered_and_read_back() {
        assert!(RiskLevel::Unscored < RiskLevel::Low && RiskLevel::Medium < RiskLevel::High);
        for level in RiskLevel::ALL {
            assert_eq!(RiskLevel::try_from(level.to_string()).unwrap(), *level);
        }
        assert_eq!(
            RiskLevel::try_from("severe".to_owned()).unwrap_err().to_string(),
            "\"severe\" is not one of unscored, low, medium, high"
        );
    }
}
