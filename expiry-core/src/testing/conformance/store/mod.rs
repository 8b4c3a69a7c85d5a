//! What every store must do, one case at a time.
//!
//! [`store_conformance!`](crate::store_conformance) makes a test of each case. Cases want an empty
//! store and real time: the store's clock has to move by itself. They sleep for nothing. Deadlines
//! are set relative to the store's clock, and ownership by the time-to-live of the caller.

#![expect(missing_docs, reason = "the name of a case says what it proves")]
#![expect(clippy::missing_panics_doc, reason = "a case fails by panicking")]

mod world;

pub mod audit;
pub mod brake;
pub mod clocks;
pub mod devices;
pub mod directory;
pub mod explain;
pub mod findings;
pub mod health;
pub mod lag;
pub mod lateness;
pub mod looks;
pub mod ownership;
pub mod payment;
pub mod planning;
pub mod prune;
pub mod put;
pub mod reconcile;
pub mod references;
pub mod results;
pub mod routers;
pub mod secrets;
pub mod share;
pub mod status;
pub mod summary;
pub mod undo;
pub mod walk;

/// Makes a `#[tokio::test]` of every case, in one module for each group of cases.
///
/// Takes the name of an `async fn() -> (Arc<dyn Store>, T)` that opens an empty store. The `T` is
/// kept until the case is over: a temporary directory, a database to be dropped, or `()`. For the
/// cases of [`clocks`], takes also the name of an `async fn(&T, chrono::TimeDelta) -> Arc<dyn
/// Store>` that opens the same store once more, by a clock that is so far ahead.
///
/// ```
/// # use std::sync::Arc;
/// # use chrono::TimeDelta;
/// # use expiry_core::{Clock, Store, SystemClock, testing::{MemoryStore, TestClock}};
/// async fn open() -> (Arc<dyn Store>, MemoryStore) {
///     let store = MemoryStore::new(Arc::new(SystemClock));
///     (Arc::new(store.clone()), store)
/// }
///
/// async fn ahead(store: &MemoryStore, by: TimeDelta) -> Arc<dyn Store> {
///     let clock = TestClock::starting_at(SystemClock.wall() + by);
///     Arc::new(store.with_clock(Arc::new(clock)))
/// }
///
/// expiry_core::store_conformance!(open, ahead);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! store_conformance {
    ($open:ident) => {
        $crate::store_conformance! { @tests $open
            audit {
                every_change_of_a_subscriber_is_an_event
                r9_access_that_ends_is_one_event_on_however_many_routers
                r9_each_new_end_of_access_is_an_event
                r9_confirmations_and_returns_are_events
                r9_what_cannot_hold_fills_no_audit
                events_of_a_removed_device_name_its_subscriber
                the_life_of_a_router_is_told
                r8_who_owns_a_router_is_told_and_from_whom_it_was_taken
                r9_work_given_up_with_a_router_is_told
                what_did_not_happen_is_no_event
                events_are_read_on_from_any_place_each_once
            }
            brake {
                r10_what_is_known_of_a_machine_reads_back_as_it_was_recorded
                r10_only_the_first_of_two_judgements_is_recorded
                r10_a_heartbeat_keeps_what_the_clocks_showed_last
                r10_a_brake_is_told_with_its_machine_until_it_ends
                r10_a_release_ends_all_brakes_and_tells_them
                r10_a_watcher_that_stands_by_is_seen_and_owns_nothing
                r5_brakes_that_end_and_routers_that_are_let_go_wake_watchers
            }
            devices {
                r2_a_removed_device_is_cut_by_itself
                r2_a_removed_device_is_owed_where_its_subscriber_could_be
                r2_a_payment_leaves_the_cut_of_a_removed_device
                r2_an_ended_subscriber_is_cut_without_the_device_it_lost
                r3_a_device_that_is_added_again_is_not_cut
                r3_a_device_that_is_made_with_a_live_subscriber_is_not_cut
                r2_a_removed_device_stays_owed_where_its_new_owner_may_not_be
                r2_a_removed_device_stays_owed_if_its_new_owner_has_no_access
                r2_a_removed_device_of_an_ended_owner_is_cut_once
                r2_a_removed_subscriber_is_owed_until_confirmed
                r2_the_looks_at_a_removed_subscriber_are_not_forgotten
                r2_a_removed_subscriber_is_owed_on_a_router_that_is_disabled_for_now
                r3_a_live_namesake_takes_the_name_out_of_a_cut_in_flight
                r3_a_cut_ends_when_live_subscribers_have_all_it_was_about
                r3_a_payment_takes_the_claim_away_too
                r2_a_namesake_who_is_not_live_takes_nothing_away
                r1_a_namesake_of_another_tenant_takes_nothing_away
            }
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
                r1_names_of_any_bytes_are_kept_apart_and_found_again
                r1_devices_are_unique_within_a_tenant_and_a_conflict_names_the_owner
                r1_names_and_devices_that_are_taken_at_once_are_taken_once
                r1_a_subscriber_is_not_bound_to_another_tenants_router
                subscribers_are_listed_in_pages_of_one_tenant
                what_does_not_exist_is_missing
                every_change_of_a_subscriber_counts_its_revision_up
                access_is_changed_at_the_clock_of_the_database
                a_removed_subscriber_leaves_its_name_and_devices_free_at_once
            }
            explain {
                r9_the_next_ends_are_listed_first_end_first
                r9_a_subscriber_who_is_owed_counts_once_on_all_routers
                an_unknown_name_has_no_explanation
                a_live_subscriber_is_explained_with_the_routers_of_its_scope
                a_cut_is_explained_with_its_progress_and_what_it_disabled
                what_keeps_coming_back_is_explained_with_its_way_in
                r2_a_removed_subscriber_is_explained_while_something_is_owed
                who_had_a_name_is_told_after_nothing_else_is_left
                a_router_out_of_scope_is_explained_while_something_stands_there
                the_latest_events_are_told_oldest_first
                r8_a_silent_owner_is_no_owner
            }
            findings {
                tenants_are_told
                r9_what_a_reading_of_a_router_finds_is_told
                r9_who_is_found_on_without_a_row_is_told_too
                r9_readings_find_what_cannot_hold_once
                r10_brakes_are_told_when_they_are_set_and_how_they_end
                r10_a_limit_that_is_exceeded_is_told_once
                r8_a_watcher_that_stands_by_tells_what_it_let_go
            }
            health {
                r1_first_contact_says_which_box_it_is
                r1_a_known_box_may_change_its_identity
                r1_another_box_does_not_replace_the_known_one
                r1_the_same_box_is_refused_under_a_second_name
                boxes_without_a_serial_number_are_not_one
                r9_an_outage_has_one_beginning_and_an_end
                r9_a_cut_that_waited_for_the_router_has_an_outage_lag
                r9_a_router_that_was_never_down_causes_no_outage_lag
                r9_watchers_are_listed_freshest_first
            }
            lag {
                r9_each_first_confirmation_is_counted_once
                r9_lags_of_outages_are_counted_apart
                r9_lags_fall_into_their_buckets
                r9_attempts_are_counted_by_what_they_came_to
                r9_how_long_routers_took_to_answer_adds_up
                r9_what_a_removed_router_took_stays_counted
                r8_an_old_epoch_counts_nothing
            }
            lateness {
                r9_an_end_that_was_past_when_it_was_entered_has_no_lag
                r9_who_ended_before_it_was_known_is_no_outage_either
                r9_what_is_owed_is_owed_since_its_end_whatever_plans_it_anew
                r9_what_came_back_keeps_its_one_lag_whatever_plans_it_anew
                r9_a_restore_is_owed_since_the_payment_whatever_plans_it_anew
                r9_a_new_end_is_owed_since_itself
                r9_a_router_that_came_into_service_later_owes_without_a_lag
                r9_who_comes_back_after_a_cut_is_late_and_no_backlog
                r9_a_router_that_does_not_answer_says_what_ends_there_soon
                r9_a_router_that_refuses_to_be_read_says_what_ends_there_soon
                r9_a_single_check_beats_and_watches_nothing
                r9_a_check_that_comes_again_is_remembered_and_respected_no_longer
            }
            looks {
                r2_looks_are_work_until_the_last_found_nothing
                r2_who_came_back_is_owed_again
                r2_after_three_returns_a_cut_cannot_hold_and_is_not_hurried
                r2_a_look_that_is_about_to_write_is_owed
                r3_a_restore_carries_what_is_open_and_its_look_what_it_undid
            }
            ownership {
                r8_each_router_has_one_owner
                r8_a_heartbeat_keeps_routers_and_epochs
                r8_a_router_that_was_let_go_is_free_at_once
                r8_releasing_one_watcher_leaves_the_others
                r8_a_router_is_let_go_alone_and_only_by_its_owner
                r8_a_heartbeat_holds_for_as_long_as_its_own_watcher_said
                r8_a_silent_owner_is_replaced_and_fenced_off
                r8_a_router_that_was_disabled_meanwhile_counts_as_taken_over
                r8_a_router_taken_over_stays_so_until_an_owner_has_read_it_whole
                r8_watchers_who_claim_at_once_share_no_router
                r8_watchers_who_plan_at_once_plan_each_subscriber_once
                r8_an_old_epoch_records_nothing
                r8_a_recheck_owes_the_cut_of_an_ended_subscriber_again
                r8_a_recheck_owes_the_restore_of_a_live_subscriber_again
                r8_a_recheck_makes_the_cut_that_an_ended_subscriber_has_not
                r8_a_recheck_of_many_keys_owes_all_that_stand_for_them
                r1_a_recheck_cuts_nobody_who_has_not_ended_in_scope
                r8_a_recheck_of_the_unknown_is_harmless
                r8_a_nudge_hurries_what_waits_and_tells_the_owner
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
            prune {
                r3_an_open_undo_row_is_never_pruned
                r3_what_was_undone_is_kept_until_the_last_look
                r2_pruning_drops_nothing_that_is_owed_or_to_be_looked_at
                old_events_go_oldest_first_a_few_at_a_time
                r8_watchers_who_prune_at_once_drop_each_row_once
                r9_counters_outlive_the_events
            }
            put {
                a_list_makes_changes_and_leaves_alone
                what_a_list_does_not_give_stays
                every_row_that_cannot_be_taken_is_named_and_none_is
                a_dry_run_changes_nothing
                r3_no_list_takes_time_away_unless_it_is_told_to
                r5_a_list_wakes_every_feed_if_it_changes_anything
                r9_every_change_by_a_list_is_in_the_audit
                r1_two_rows_of_a_list_may_swap_a_device
                r2_a_device_that_moves_to_who_has_ended_is_cut_with_its_new_owner
                r2_a_row_whose_end_is_past_is_owed_at_once
                r3_a_row_that_pays_voids_the_cut_or_owes_the_restore
                r3_live_rows_take_their_names_and_devices_out_of_other_cuts
                r2_who_is_bound_elsewhere_is_cut_where_it_was
                r2_who_is_bound_elsewhere_is_owed_on_a_router_that_is_disabled_for_now
                r3_who_is_bound_back_is_let_in_again
                r2_a_device_lost_while_bound_elsewhere_stays_owed_there
                r2_a_restore_where_nobody_may_be_let_in_becomes_a_cut
                r2_an_end_that_nobody_planned_is_owed_where_its_subscriber_was
                a_binding_to_a_removed_router_may_stand
                names_that_differ_by_case_are_two
                r2_long_lists_are_taken_whole
            }
            reconcile {
                r1_who_has_what_is_asked_by_the_scope_of_the_router
                r2_what_was_removed_has_ended_for_as_long_as_its_row_is_there
                r9_who_is_found_on_after_a_confirmed_cut_is_owed_again
                r9_a_way_in_that_nobody_uses_is_owed_and_no_return
                r9_what_is_owed_already_is_left_as_it_is
                r2_what_comes_back_again_and_again_waits_for_its_pace
                r1_nobody_is_owed_a_cut_who_has_not_ended_in_scope
                r9_ended_subscribers_without_a_row_get_one
                r9_an_end_that_nobody_planned_is_left_to_the_planning
                r2_who_was_removed_is_owed_again_too
                r10_who_is_found_long_after_the_end_comes_after_fresh_deadlines
                r9_strays_are_replaced_and_keep_when_they_were_first_seen
                r9_status_counts_the_strays_of_each_router
                r9_whatever_a_router_says_is_kept
                r9_a_router_of_which_nothing_is_known_any_more_has_no_strays
                r9_a_router_that_came_back_is_to_be_read_at_once
                r9_a_router_that_has_restarted_is_to_be_read_and_its_cuts_looked_at_again
                r9_a_router_that_started_later_than_it_had_told_has_restarted
                r9_a_partial_reading_owes_what_it_shows_and_leaves_the_rest_as_it_was
                r4_what_is_in_the_way_of_a_router_is_told_and_is_no_outage
                r8_an_old_epoch_records_no_reading
                the_next_deadline_of_a_router_is_the_first_that_is_near_in_its_scope
            }
            references {
                r3_a_payment_adds_its_time_once_however_often_it_comes
                r3_payments_that_come_at_once_add_their_time_once
                r3_a_receipt_stays_whatever_becomes_of_the_subscriber
                r3_another_payment_under_a_reference_is_refused
                r1_who_is_unknown_is_made_only_when_told_to
                r1_nobody_is_made_without_a_tenant_who_is_known_in_one
                r1_nobody_is_added_without_a_tenant_who_is_known_in_one
                r1_a_payment_that_is_refused_leaves_nothing_behind
                r3_a_payment_says_where_it_has_not_arrived
                r9_a_payment_is_told_with_its_reference_and_note
                r3_a_reference_is_kept_for_as_long_as_events_are
            }
            results {
                r2_where_a_cut_saw_its_target_is_kept_until_it_is_confirmed
                r2_a_confirmed_cut_is_owed_no_more_and_has_a_lag
                r2_what_is_not_confirmed_stays_owed_and_is_tried_again
                settling_twice_records_no_second_lag
                settling_at_once_records_one_lag
                many_tasks_are_planned_and_recorded_together
                intending_twice_commits_the_same
                answers_come_in_the_order_of_the_settlements
                r3_only_tasks_as_they_were_handed_out_stand
                restores_come_first_then_fresh_cuts_then_backlog
                a_router_is_given_its_own_work_alone
                r1_what_is_live_is_asked_by_the_scope_of_the_router
            }
            secrets {
                r11_a_reset_forgets_no_password_that_opens
                r11_a_reset_is_of_what_was_seen
            }
            routers {
                r2_a_router_added_later_owes_what_its_reading_finds
                r2_a_subscriber_bound_elsewhere_is_not_owed_on_a_new_router
                r2_an_enabled_router_tries_what_is_owed_and_owes_what_it_shows
                r2_an_accepted_router_is_another_box_and_owes_what_it_shows
                r2_a_router_at_another_address_may_be_another_box
                r8_what_was_seen_in_the_box_of_before_is_not_recorded
                a_change_that_says_what_is_there_owes_nothing
                a_disabled_router_is_neither_counted_nor_served
                open_work_lists_what_a_router_would_leave_behind
                r2_a_router_is_not_removed_while_a_cut_is_owed
                r2_a_router_is_not_removed_while_a_cut_is_owed_that_nobody_planned
                r2_what_is_removed_while_a_router_is_disabled_is_cut_there_later
                r3_a_router_is_not_removed_while_something_is_to_be_undone
                a_router_removed_by_force_takes_all_that_is_open_with_it
            }
            share {
                r10_nothing_is_handed_out_once_changes_ended_more_than_the_limit
                r10_a_share_brake_holds_until_it_is_released_and_accepts_what_is_owed
                r10_restores_wait_for_a_share_brake_too
                r10_time_that_passes_never_counts
                r10_every_change_that_ends_access_counts
                r10_who_had_ended_already_is_not_ended_by_a_change
                r10_who_is_cut_nowhere_counts_as_nothing
                r10_who_was_cut_lately_counts_too
                r10_who_was_let_in_again_counts_no_more
                r10_the_strictest_limit_of_all_living_watchers_holds
                r10_an_owner_without_work_finds_the_limit_exceeded
                r10_without_a_limit_any_number_is_handed_out
            }
            status {
                r9_status_counts_what_is_true_now
                r9_everything_owed_is_listed_oldest_first
                r9_an_attempt_is_noted_when_it_has_ended
                r9_a_subscriber_whose_cut_is_not_planned_yet_is_not_live
                r9_a_cut_counts_as_owed_before_it_is_planned
                r10_the_outlook_shows_all_that_is_due_and_records_nothing
                r5_changes_of_the_directory_wake_every_feed
                r5_what_gives_watchers_work_wakes_them
                r7_records_and_reads_wake_nobody
                a_refused_change_changes_nothing
            }
            summary {
                r9_a_summary_counts_all_and_each_tenant
                r9_the_overdue_are_those_who_ended_and_are_owed_a_cut
                r9_who_is_owed_on_two_routers_is_one_with_both
                r9_what_is_owed_is_read_in_pages_by_router_and_direction
                subscribers_are_found_by_parts_of_names_devices_and_how_they_stand
                the_latest_events_end_where_readers_go_on
                r9_the_latest_lags_are_told_one_by_one
                r9_what_a_router_says_of_itself_is_told_until_it_may_be_another
            }
            undo {
                r3_the_first_finding_stands_and_later_ones_only_add
                r3_more_findings_than_one_statement_can_take_are_kept
                r3_equal_rows_are_undone_as_often_as_they_were_found
                r3_a_finding_reads_back_as_it_was_made
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
                r3_a_restore_that_was_written_twice_is_known_by_its_looks
                r3_an_open_undo_outlives_the_removed_subscriber
                r3_nobody_restores_what_no_live_access_in_scope_owns
            }
            walk {
                r2_r3_every_store_owes_the_same_after_the_same_changes
                r3_whatever_happens_nobody_live_stays_disabled
            }
        }
    };
    ($open:ident, $ahead:ident) => {
        $crate::store_conformance!($open);
        $crate::store_conformance! { @clocks $open $ahead
            clocks {
                r1_what_a_clock_ahead_has_planned_is_not_cut_before_its_time
                r1_whom_a_clock_ahead_found_on_is_owed_nothing
                r2_what_a_clock_ahead_has_planned_is_cut_at_its_time
                r3_who_was_cut_by_a_clock_ahead_is_let_in_again
                r2_a_restore_that_a_clock_behind_owes_costs_no_cut
                r2_a_device_or_subscriber_removed_by_a_clock_ahead_is_cut_now
                r10_what_was_due_long_before_its_owner_came_is_backlog
                r8_a_heartbeat_from_far_ahead_keeps_nobody_alive
                r2_attempts_of_a_clock_ahead_are_due_when_its_brake_ends
                r2_attempts_of_a_clock_ahead_are_due_after_a_release
                r9_an_attempt_of_a_clock_ahead_is_not_taken_for_one_to_come
                r10_changes_count_for_an_hour_and_while_they_owe_a_cut
                r9_what_ended_while_nobody_watched_has_no_lag
                r9_a_single_check_sees_what_nobody_watched
                r9_backlog_and_who_is_late_are_counted_apart
            }
        }
    };
    (@clocks $open:ident $ahead:ident $group:ident { $($case:ident)* }) => {
        mod $group {
            use super::{$ahead as ahead, $open as open};

            $(
                #[tokio::test]
                async fn $case() {
                    let (store, kept) = open().await;
                    let ahead = ahead(&kept, chrono::TimeDelta::hours(1)).await;
                    $crate::testing::conformance::store::$group::$case(store, ahead).await;
                }
            )*
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
            include_str!("audit.rs"),
            include_str!("brake.rs"),
            include_str!("clocks.rs"),
            include_str!("devices.rs"),
            include_str!("directory.rs"),
            include_str!("explain.rs"),
            include_str!("findings.rs"),
            include_str!("health.rs"),
            include_str!("lag.rs"),
            include_str!("looks.rs"),
            include_str!("ownership.rs"),
            include_str!("payment.rs"),
            include_str!("planning.rs"),
            include_str!("prune.rs"),
            include_str!("put.rs"),
            include_str!("reconcile.rs"),
            include_str!("references.rs"),
            include_str!("results.rs"),
            include_str!("routers.rs"),
            include_str!("share.rs"),
            include_str!("status.rs"),
            include_str!("undo.rs"),
            include_str!("walk.rs"),
        ];
        let lines = groups.iter().flat_map(|group| group.lines());
        for line in lines.filter_map(|line| line.strip_prefix("pub async fn ")) {
            let name = line.split('(').next().unwrap_or_default();
            assert!(listed.contains(name), "`{name}` is in no list");
        }
    }
}
