//! The sandbox, from outside: every answer is held against the published description of the API.

mod client;
mod credentials;
mod description;
mod every_operation;
mod people_and_groups;
mod receiver;
