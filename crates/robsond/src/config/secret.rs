//! A text that is compared but never shown.

use std::fmt;
use std::str::FromStr;

use subtle::ConstantTimeEq;

/// A secret: neither `Debug` nor `Display` shows it, and comparing takes the same time wherever it differs.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Whether a text is the secret.
    pub fn matches(&self, text: &str) -> bool {
        self.0.as_bytes().ct_eq(text.as_bytes()).into()
    }

    /// The secret itself, to be sent; never to be printed.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(&other.0)
    }
}

impl Eq for Secret {}

impl FromStr for Secret {
    type Err = &'static str;

    /// What can travel in a header: visible ASCII. The refusal does not quote it.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            Err("it is empty: leave it out, or give a secret")
        } else if text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err("a secret consists of visible ASCII characters without spaces")
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}
