//! The steps by which a database becomes today's, in order. A step that has been released is never changed.

use crate::base::store::Migration;

macro_rules! migrations {
    ($($name:literal),* $(,)?) => {
        /// Every step there is.
        pub const MIGRATIONS: &[Migration] = &[$(Migration {
            name: $name,
            sqlite: include_str!(concat!("../migrations/sqlite/", $name, ".sql")),
            postgres: include_str!(concat!("../migrations/postgres/", $name, ".sql")),
        }),*];
    };
}

migrations![
    "0001_house",
    "0002_passwords",
    "0003_tickets",
    "0004_mail",
    "0005_second_factors",
    "0006_passkeys",
    "0007_leases",
    "0008_guard",
    "0009_mails_of_a_person",
    "0010_passwords_by_mail"
];
