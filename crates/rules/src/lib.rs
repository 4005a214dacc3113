//! Cloudflare's datasets and the detection rules over their records: everything about rules that needs no store, no
//! connection and no server.
//!
//! - [`dataset`] lists the datasets, [`field`] their fields, [`recognise`] finds the dataset of a record, [`form`] finds the records in other
//!   formats (JSON arrays, envelopes, CSV), [`normalise`] reads time, identifier, action and target of a record;
//! - [`book`] reads the rules, behaviours, lists and tips, both built-in and the organisation's own;
//! - [`detector`] matches a record against all rules of its dataset, [`watch`] evaluates correlations over the matches;
//! - [`firing`] lets watches fire over matches in memory;
//! - [`file_run`] runs rules over files, [`cases`] runs the test cases of a rule.
//!
//! Never async, no SQL, no network. Start reading at [`book::RuleBook::build`] and [`detector::Detector::look`].

pub mod book;
pub mod cases;
mod countries;
pub mod country;
pub mod dataset;
pub mod detector;
pub mod field;
pub mod file_run;
pub mod firing;
pub mod form;
pub mod lines;
pub mod log_source;
pub mod matches;
pub mod normalise;
pub mod reason;
pub mod recognise;
pub mod watch;

pub use dataset::{DATASETS, Dataset, RISK_SCORE_EVENTS};
pub use field::{Field, FieldType};
pub use recognise::{dataset_of, dataset_of_line, has_field};
