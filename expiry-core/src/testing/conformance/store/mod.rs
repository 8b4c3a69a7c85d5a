//! What every store must do, one case at a time.
//!
//! [`store_conformance!`](crate::store_conformance) makes a test of each case. Cases want an empty
//! store and real time: the store's clock has to move by itself. They sleep for nothing. Deadlines
//! are set relative to the store's clock, and ownership by the time-to-live of the caller.

#![expect(missing_docs, reason = "the name of a case says what it proves")]
#![expect(clippy::missing_panics_doc, reason = "a case fails by panicking")]

mod world;

pub mod directory;
pub mod payment;
pub mod planning;
pub mod undo;

/// Makes a `#[tokio::test]` of every case, in one module for each group of cases.
///
/// Takes the name of an `async fn() -> (Arc<dyn Store>, T)` that opens an empty store. The `T` is
/// kept until the case is over: a temporary directory, a database to be dropped, or `()`.
///
/// ```
/// # use std::sync::Arc;
/// # use expiry_core::{Store, SystemClock, testing::MemoryStore};
/// async fn open() -> (Arc<dyn Store>, ()) {
///     (Arc::new(MemoryStore::new(Arc::new(SystemClock))), ())
/// }
///
/// expiry_core::store_conformance!(open);
/// ```
#[macro_export]
macro_rules! store_conformance {
    ($open:ident) => {
        $crate::store_conformance! { @tests $open
            directory {
                tenants_are_listed_by_slug_and_a_slug_is_taken_once
                a_tenant_in_use_is_not_removed
                a_removed_subscriber_who_is_owed_keeps_the_tenant_until_its_routers_go
                routers_are_listed_by_name_as_they_were_made
                r1_the_same_router_is_not_made_twice
                r1_a_router_is_not_moved_to_where_another_is_reached
                a_change_of_a_router_leaves_the_rest
                a_subscriber_reads_back_as_it_was_made
                r1_names_are_unique_within_a_tenant
                r1_devices_are_unique_within_a_tenant_and_a_conflict_names_the_owner
                r1_a_subscriber_is_not_bound_to_another_tenants_router
                subscribers_are_listed_in_pages_of_one_tenant
                what_does_not_exist_is_missing
                every_change_of_a_subscriber_counts_its_revision_up
                access_is_changed_at_the_clock_of_the_database
                a_removed_subscriber_leaves_its_name_and_devices_free_at_once
            }
            payment {
                r3_a_payment_before_anything_was_touched_voids_the_cut
                r3_a_payment_after_the_intent_owes_the_restore
                r3_a_payment_after_a_confirmed_cut_owes_the_restore
                r3_a_restore_is_owed_only_where_something_was_disabled
                r3_a_payment_between_intent_and_settlement_supersedes_the_cut
                r3_an_intent_after_the_payment_commits_nothing
                r3_an_intent_and_a_payment_at_once_end_in_one_of_two_ways
                r3_another_payment_keeps_the_restore_owed
                r3_a_payment_after_a_confirmed_restore_owes_nothing
                r3_access_that_ends_again_turns_the_restore_into_a_cut
                r3_access_set_to_none_takes_the_restore_back
                r3_a_payment_reaches_a_router_that_is_disabled_for_now
                r3_a_restore_on_a_disabled_router_turns_into_a_cut_when_access_ends
                r3_the_lag_of_a_restore_counts_from_the_payment
            }
            planning {
                r2_ended_access_is_owed_on_every_router_in_scope_and_only_there
                r2_a_subscriber_of_a_tenant_is_owed_on_that_tenants_routers
                r2_a_bound_subscriber_is_owed_on_its_router_alone
                r2_a_cut_carries_what_it_is_about
                r1_access_ahead_is_not_planned
                r2_a_deadline_that_passes_is_planned_once
                planning_takes_the_oldest_deadlines_up_to_its_limit
                the_next_deadline_is_the_first_ahead
                r1_forever_and_none_are_never_planned
                r2_what_is_owed_needs_no_planning_after_a_revocation
                r10_a_deadline_long_past_when_it_is_planned_is_backlog
                r2_planning_twice_leaves_what_has_been_done
                r2_a_new_end_in_the_past_owes_the_cut_anew
                r1_access_set_to_none_owes_nothing_any_more
                r2_a_device_added_after_the_end_is_cut_with_the_rest
                a_subscriber_bound_to_a_removed_router_is_in_no_scope
            }
            undo {
                r3_the_first_finding_stands_and_later_ones_only_add
                r3_equal_rows_are_undone_as_often_as_they_were_found
                r3_a_finding_without_rows_opens_nothing
                r3_a_closed_finding_is_opened_with_the_new_one
                r3_findings_of_one_router_are_not_undone_on_another
                r3_a_restore_closes_only_what_it_covers
                r3_an_undo_that_has_grown_meanwhile_keeps_the_restore_owed
                r3_a_settlement_closes_nothing_that_is_not_its_own
                r3_a_cut_closes_no_undo
                r3_an_unconfirmed_restore_closes_no_undo
                r3_a_device_that_moved_is_restored_for_its_new_owner
                r3_a_name_made_again_is_restored_for_its_new_owner
                r3_a_settlement_owes_the_restore_of_what_somebody_else_owns
                r3_planning_owes_the_restore_of_what_a_dead_watcher_left
                r3_a_restore_found_undone_is_owed_with_all_it_had_undone
                r3_an_open_undo_outlives_the_removed_subscriber
                r3_nobody_restores_what_no_live_access_in_scope_owns
            }
        }
    };
    (@tests $open:ident $($group:ident { $($case:ident)* })*) => {
        $(
            mod $group {
                use super::$open as open;

                $(
                    #[tokio::test]
                    async fn $case() {
                        let (store, _guard) = open().await;
                        $crate::testing::conformance::store::$group::$case(store).await;
                    }
                )*
            }
        )*
    };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn every_case_is_listed() {
        let listed: BTreeSet<_> = include_str!("mod.rs").lines().map(str::trim).collect();
        let groups = [
            include_str!("directory.rs"),
            include_str!("payment.rs"),
            include_str!("planning.rs"),
            include_str!("undo.rs"),
        ];
        let lines = groups.iter().flat_map(|group| group.lines());
        for line in lines.filter_map(|line| line.strip_prefix("pub async fn ")) {
            let name = line.split('(').next().unwrap_or_default();
            assert!(listed.contains(name), "`{name}` is in no list");
        }
    }
}
