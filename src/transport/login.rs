//! The response of a server to a login.

/// Whether a server accepts a user and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginAttempt {
    Accepted,
    Refused {
        problem: String,
    },
    /// There is no response by which the login could be judged.
    Unanswered {
        problem: String,
    },
}
