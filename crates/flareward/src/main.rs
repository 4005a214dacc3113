//! The program: reads the command line and hands over to one command.
fn main() {}
