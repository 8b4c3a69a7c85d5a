use std::collections::BTreeMap;

/// Where the connection table is printed; counted apart, for it dwarfs all else.
pub(super) const CONNECTION_PRINT: &str = "/ip/firewall/connection/print";

/// What clients of the API cost a router so far. Commands of the operator are not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SimStats {
    /// Commands by path, logins not included.
    pub commands: BTreeMap<String, u64>,
    /// API connections that were accepted.
    pub connects: u64,
    /// Logins that succeeded.
    pub logins: u64,
    /// Logins that were refused.
    pub refused_logins: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Bytes of answers to prints of the connection table, which are part of `bytes_out`.
    pub connection_table_bytes: u64,
}

impl SimStats {
    /// Returns the number of commands, prints of the connection table not included.
    pub fn commands_in_all(&self) -> u64 {
        self.commands.values().sum::<u64>() - self.connection_prints()
    }

    /// Returns the number of prints of the connection table.
    pub fn connection_prints(&self) -> u64 {
        self.commands
            .get(CONNECTION_PRINT)
            .copied()
            .unwrap_or_default()
    }
}
