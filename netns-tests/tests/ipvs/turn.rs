//! Whose turn it is on a test kernel, which has one processor.
//!
//! In User Mode Linux two tests that write tables can keep a third one's client waiting for longer than its patience, and
//! what was slow then counts as lost.

use std::sync::{PoisonError, RwLock};

use libtest_mimic::Trial;

/// Shared by tests that run beside others.
static PROCESSOR: RwLock<()> = RwLock::new(());

/// A test that waits for what it wants to see, however long that takes.
pub(crate) fn beside_others(name: &str, test: fn()) -> Trial {
    Trial::test(name, move || {
        // A test that failed has left nothing behind that others could see.
        let _turn = PROCESSOR.read().unwrap_or_else(PoisonError::into_inner);
        test();
        Ok(())
    })
}

/// A test whose client must not lose anything.
pub(crate) fn alone(name: &str, test: fn()) -> Trial {
    Trial::test(name, move || {
        let _turn = PROCESSOR.write().unwrap_or_else(PoisonError::into_inner);
        test();
        Ok(())
    })
}

/// Makes trials of functions, each with its function's name; those after the semicolon run alone.
macro_rules! trials {
    ($($test:ident),+ $(; alone: $($lone:ident),+)? $(,)?) => {
        vec![
            $(crate::turn::beside_others(stringify!($test), $test)),+
            $(, $(crate::turn::alone(stringify!($lone), $lone)),+)?
        ]
    };
}
pub(crate) use trials;
