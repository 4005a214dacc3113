//! SQLite and PostgreSQL behind one Store: all SQL, all migrations.
