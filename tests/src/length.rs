//! How much is run: `BORE_TEST_LENGTH`, as `cargo xtask test` sets it.

/// The lengths, the shortest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Length {
    /// For every change.
    Quick,
    /// What CI runs.
    Ci,
    /// By hand, on a machine with nothing else to do: figures are asserted too.
    Long,
}

impl Length {
    /// Of this run.
    ///
    /// # Panics
    /// On a length that does not exist.
    pub fn current() -> Self {
        match std::env::var("BORE_TEST_LENGTH").as_deref() {
            Err(_) | Ok("" | "quick") => Self::Quick,
            Ok("ci") => Self::Ci,
            Ok("long") => Self::Long,
            Ok(other) => panic!("BORE_TEST_LENGTH is quick, ci or long, not {other}"),
        }
    }

    /// One value a length.
    pub fn pick<T>(quick: T, ci: T, long: T) -> T {
        match Self::current() {
            Self::Quick => quick,
            Self::Ci => ci,
            Self::Long => long,
        }
    }
}
