//! What senders call things that mq tells apart: unique keys and groups, each a line of text.
//!
//! Invariant: two of one kind are the same exactly when their texts are; an engine that needs names of one length for
//! them takes their hash.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Invalid;

/// A line of text that a sender chose.
macro_rules! sender_text {
    ($(#[$about:meta])* $name:ident, $expected:literal) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The longest one, in bytes.
            pub const MAX_BYTES: usize = 1024;

            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// By which engines know it.
            pub fn hash(&self) -> KeyHash {
                KeyHash::of(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                let is_right = !text.is_empty() && text.len() <= Self::MAX_BYTES && !text.contains(char::is_control);
                if is_right { Ok(Self(text.to_owned())) } else { Err(Invalid::new(text, $expected)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;

            fn try_from(text: String) -> Result<Self, Invalid> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }
    };
}

sender_text! {
    /// What a queue has at most one message of at a time: any text of one line.
    UniqueKey, "a unique key: 1 to 1024 bytes of text without control characters"
}

sender_text! {
    /// What has to be handled in order, one message at a time: any text of one line.
    Group, "a group: 1 to 1024 bytes of text without control characters"
}

/// That a message is to be the only one of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unique {
    /// The key.
    pub key: UniqueKey,
    /// For how long from the put on, whatever becomes of the message; `None`: while it is queued or claimed.
    pub window: Option<Duration>,
}

/// The first 128 bits of a text's SHA-256, written in 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub u128);

impl KeyHash {
    pub(super) fn of(text: &str) -> Self {
        let digest = Sha256::digest(text.as_bytes());
        Self(digest.iter().take(16).fold(0, |hash, byte| hash << 8 | u128::from(*byte)))
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for KeyHash {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // One spelling only.
        let hash = u128::from_str_radix(text, 16).ok().map(Self).filter(|hash| hash.to_string() == text);
        hash.ok_or_else(|| Invalid::new(text, "a hash of 32 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_line_of_text() {
        assert_eq!("nightly report/ü".parse::<UniqueKey>().unwrap().as_str(), "nightly report/ü");
        assert_eq!("ann@example.org".parse::<Group>().unwrap().to_string(), "ann@example.org");
        for wrong in ["", "two\nlines", "nul\0", &"x".repeat(UniqueKey::MAX_BYTES + 1)] {
            assert!(wrong.parse::<UniqueKey>().is_err(), "{wrong:?} was taken for a key");
        }
    }

    #[test]
    fn a_hash_is_the_beginning_of_the_sha_256_in_one_spelling() {
        // FIPS 180-4's example.
        let hash = "abc".parse::<UniqueKey>().unwrap().hash();
        assert_eq!(hash.to_string(), "ba7816bf8f01cfea414140de5dae2223");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        for wrong in ["BA7816BF8F01CFEA414140DE5DAE2223", "+a7816bf8f01cfea414140de5dae2223", "ba", ""] {
            assert!(wrong.parse::<KeyHash>().is_err(), "{wrong}");
        }
    }
}
