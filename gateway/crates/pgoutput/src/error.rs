//! What can be wrong with replication bytes. Errors carry tags, counts and field names, never a
//! row's value: they end up in logs.

/// Bytes that are no message of the protocol in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A message whose tag has no meaning in the protocol version in use. Skipping it could lose a
    /// change, so it is for a person to decide.
    #[error(
        "unknown replication message with tag 0x{tag:02x} and {length} bytes \
         (pgoutput protocol {version})"
    )]
    UnknownMessage {
        /// First byte of the message.
        tag: u8,
        /// Bytes of the whole message.
        length: usize,
        /// Protocol version in use; 0: the frame around pgoutput's messages.
        version: u8,
    },
    /// The bytes end inside a field.
    #[error("the replication message {message} ends inside a field")]
    Truncated {
        /// Name of the message.
        message: &'static str,
    },
    /// Bytes are left over after the last field.
    #[error("the replication message {message} has {bytes} bytes after its last field")]
    Trailing {
        /// Name of the message.
        message: &'static str,
        /// How many.
        bytes: usize,
    },
    /// A field has a value that it cannot have.
    #[error("the replication message {message} has an invalid {field} ({value})")]
    Field {
        /// Name of the message.
        message: &'static str,
        /// Name of the field.
        field: &'static str,
        /// The number found: a tag, a count or a length.
        value: i64,
    },
    /// A name is no UTF-8. Names come in the client's encoding, which the source pins to UTF-8.
    #[error("the replication message {message} has a name that is no UTF-8")]
    Name {
        /// Name of the message.
        message: &'static str,
    },
    /// A message at a place where the protocol has none, such as the end of a stream that did not
    /// begin.
    #[error("the replication message {message} came out of place")]
    OutOfPlace {
        /// Name of the message.
        message: &'static str,
    },
    /// A protocol version that this decoder does not read.
    #[error("pgoutput protocol {version} is not supported (1 to 4 are)")]
    Version {
        /// The version asked for.
        version: u8,
    },
}

impl DecodeError {
    /// The error's stable code.
    pub fn code(&self) -> &'static str {
        match self {
            DecodeError::UnknownMessage { .. } => "PG_UNKNOWN_MESSAGE",
            DecodeError::Truncated { .. }
            | DecodeError::Trailing { .. }
            | DecodeError::Field { .. }
            | DecodeError::Name { .. }
            | DecodeError::OutOfPlace { .. } => "PG_MALFORMED_MESSAGE",
            DecodeError::Version { .. } => "PG_PROTOCOL_VERSION",
        }
    }

    /// What an operator does about it.
    pub fn next_step(&self) -> &'static str {
        match self {
            DecodeError::UnknownMessage { .. } => {
                "the server speaks a newer protocol than this version of offtake reads: upgrade \
                 offtake; nothing after this message was acknowledged"
            }
            DecodeError::Name { .. } => {
                "rename the table, column or type to valid UTF-8, or convert the database from \
                 SQL_ASCII; then restart the pipeline"
            }
            DecodeError::Version { .. } => "ask for pgoutput protocol 1, 2, 3 or 4",
            _ => {
                "restart the pipeline, which reads the message again; if it stays, a proxy between \
                 offtake and the server or the server itself is damaged: report it with the \
                 server's version"
            }
        }
    }
}
