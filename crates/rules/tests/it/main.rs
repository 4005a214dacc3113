//! The rules that come with the product, and the code that runs them.

mod cases;
mod system_rules;
