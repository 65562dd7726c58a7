//! The contract, run on every mode. A test writes through `a` and reads through `b`: one handle, or two on one file.

mod governance;
mod lists;
mod metrics;
mod monitor;
mod registry;
mod rollouts;
mod runs;

use athanor_protocol::Code;
use athanor_store::{SqliteStore, Store};

/// The suite on one mode: an expression that gives something to keep alive and two handles.
macro_rules! store_contract_tests {
    ($mode:ident, $open:expr) => {
        store_contract_tests!($mode, $open; runs::a_run_keeps_everything, runs::states_follow_the_machine, runs::attempts_guard_every_write,
            runs::the_queue_gives_each_run_once, runs::a_batch_is_applied_once, runs::a_batch_is_all_or_nothing, metrics::the_latest_value_follows_the_rule,
            metrics::a_resumed_run_has_one_history, metrics::non_finite_values_stay_what_they_are, metrics::points_come_in_pages,
            metrics::a_series_is_decimated_without_losing_peaks, runs::logs_are_bounded_and_readable, runs::tags_and_notes_stay_open,
            runs::deletion_is_a_mark, runs::files_may_be_added_after_the_end, lists::runs_are_found_by_prefix, lists::lists_are_filtered, lists::every_order_pages_without_gap_or_repeat,
            registry::versions_are_counted_and_immutable, registry::aliases_move_and_move_back, registry::keys_live_and_end, registry::keys_rotate, registry::keys_end_when_they_are_told_to, registry::keys_have_limits, registry::usage_adds_up, registry::signers_are_trusted_and_not,
            registry::the_audit_log_grows, registry::the_change_counter_tells, registry::a_run_knows_what_was_registered_from_it,
            metrics::metrics_are_found_by_a_text_in_their_names, lists::a_page_of_runs_says_what_its_steps_were_set_to,
            registry::every_alias_is_listed, rollouts::one_runs_at_a_time_and_moves_on, rollouts::a_promotion_moves_the_alias_and_back,
            rollouts::figures_are_noted_without_a_stir, monitor::models_are_watched_as_set,
            monitor::reports_are_kept_newest_first, monitor::an_alert_is_raised_once_resolved_and_raised_again,
            governance::an_alias_goes_back_and_forth, governance::what_is_refused_leaves_no_line,
            governance::what_needs_approval_waits_for_it, governance::deletion_never_takes_what_is_needed,
            governance::retention_keeps_what_the_rules_say, governance::cards_remember_who_wrote_what,
            governance::the_audit_log_is_searched);
    };
    ($mode:ident, $open:expr; $($group:ident::$name:ident),* $(,)?) => {
        mod $mode {
            $(#[test]
            fn $name() {
                let (_keep, a, b) = $open;
                super::$group::$name(&*a, b.as_deref().unwrap_or(&*a));
            })*
        }
    };
}

type Modes = (tempfile::TempDir, Box<dyn Store>, Option<Box<dyn Store>>);

fn in_file(two: bool) -> Modes {
    let folder = tempfile::tempdir().unwrap();
    let open = || -> Box<dyn Store> { Box::new(SqliteStore::open(&folder.path().join("athanor.db")).unwrap()) };
    let (a, b) = (open(), two.then(open));
    (folder, a, b)
}

store_contract_tests!(file, super::in_file(false));
store_contract_tests!(two_handles_on_one_file, super::in_file(true));
store_contract_tests!(memory, {
    let store: Box<dyn super::Store> = Box::new(super::SqliteStore::open_in_memory().unwrap());
    ((), store, None::<Box<dyn super::Store>>)
});

fn code<T: std::fmt::Debug>(result: athanor_store::Result<T>) -> Code {
    result.unwrap_err().code()
}
