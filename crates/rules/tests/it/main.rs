//! The built-in rules, and the code that runs them.

mod cases;
mod system_rules;
