//! What must hold at every moment; each rule is one function, named as it is broken.

mod conduct;
mod election;
mod holding;
mod preparing;

use std::fmt;

pub use self::conduct::{
    a_deadline_passes_once, absence_told, is_release, nodes_understand_each_other, only_an_active_announces,
    only_an_active_speaks, reports_tell_every_change, said, standing_told, the_active_announces_last,
    the_same_file_changes_nothing, track_told, traffic_goes_to_the_active,
};
pub use self::election::{
    a_group_moves_together, a_hand_over_comes_to_an_end, nothing_moves_in_the_quiet, one_active,
    quiet_means_one_best_active, somebody_takes_over_in_time, whoever_can_takes_part,
    whoever_cannot_takes_no_part,
};
pub use self::holding::{
    a_stop_leaves_nothing, an_adoption_removes_nothing, checks_find_the_truth, kernels_come_to_rest,
    nobody_holds_what_is_not_renewed, nothing_else_is_wanted_unsaid, nothing_hangs_in_the_air,
    plan_reaches_what_is_wanted, table_before_address, the_dead_serve_until_they_are_succeeded,
    the_fenced_hold_nothing, the_hanging_are_fenced_in_time, the_host_holds_what_is_active_and_fit,
    what_is_not_accepted_is_dropped,
};
pub use self::preparing::{
    hooks_have_their_time, no_hook_holds_up_a_release, whoever_is_prepared_hands_over,
};

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its name, that of its function.
    pub invariant: &'static str,
    /// What was found instead.
    pub found: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.invariant, self.found)
    }
}

macro_rules! ensure {
    ($invariant:ident, $holds:expr, $($found:tt)*) => {
        if !$holds {
            return Err($crate::invariants::Broken { invariant: stringify!($invariant), found: format!($($found)*) });
        }
    };
}

use ensure;
