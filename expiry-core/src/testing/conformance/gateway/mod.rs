//! What every gateway must do, one case at a time.
//!
//! [`gateway_conformance!`](crate::gateway_conformance) makes a test of each case. Cases work on a
//! [`GatewayBench`]: a router that the case sets up as an operator would, and that tells the truth
//! about its devices. What a cut is worth is judged by that truth, not by what tables say.

#![expect(missing_docs, reason = "the name of a case says what it proves")]
#![expect(clippy::missing_panics_doc, reason = "a case fails by panicking")]

mod bench;

pub mod cut;
pub mod line;
pub mod look;
pub mod restore;

pub use bench::{Binding, Device, Entry, GatewayBench};

/// Makes a test of every case, in one module for each group of cases.
///
/// Takes the name of an `async fn() -> B` that sets up a [`GatewayBench`] with an empty router, and
/// behind a semicolon the arguments of `#[tokio::test]`, if any.
#[macro_export]
macro_rules! gateway_conformance {
    ($open:ident) => {
        $crate::gateway_conformance! { $open; }
    };
    ($open:ident; $($args:tt)*) => {
        $crate::gateway_conformance! { @tests $open ($($args)*)
            look {
                r1_accounts_are_found_in_both_spellings_and_those_that_are_off_say_so
                r1_accounts_named_like_a_device_are_found_in_every_spelling
                r1_nothing_is_found_by_a_part_of_a_name
                bindings_are_found_by_device_with_their_kind_and_comment_disabled_or_not
                r1_bindings_are_found_by_comment_only_when_asked_and_only_as_a_whole
                a_name_shows_its_account_session_and_cookie
                a_device_shows_its_session_host_and_cookie
                a_station_shows_its_session_and_host_alone
                an_address_shows_its_session_and_host
                a_bypassed_device_shows_a_host_that_passes_and_no_session
                r7_connections_are_read_only_when_asked
                bindings_without_a_device_are_found_by_address_and_all_of_them_only_when_asked
                holders_are_found_by_device_and_address_only_when_asked
                connections_come_with_the_rows_of_their_device_and_nobody_elses
                connections_come_for_an_address_that_shows_nothing_else
                a_look_for_nothing_shows_nothing
                r9_all_that_a_router_lets_through_is_read_for_reconcile
            }
            cut {
                r6_an_account_with_a_cookie_is_cut
                r6_a_bypassed_device_is_cut
                r6_a_device_that_logs_in_by_its_mac_is_cut
                r6_a_fasttracked_flow_is_cut
                r6_a_bypassed_device_with_fasttracked_flows_is_cut
                r6_a_device_with_two_accounts_and_a_binding_is_cut
                r1_those_who_share_nothing_but_the_router_stay_online
                r6_a_device_that_passes_by_the_binding_of_its_address_is_cut
                r1_a_binding_that_covers_others_too_is_left_alone
                r6_a_fasttracked_flow_outlives_its_session
                r6_what_was_dropped_before_its_ways_in_were_closed_is_back
                a_block_ends_no_session_and_reads_those_there_are
                r2_writes_to_rows_that_are_gone_are_no_refusals
                r9_writes_without_permission_are_refused_one_by_one_and_change_nothing
            }
            restore {
                r3_an_account_that_is_enabled_again_lets_its_device_in
                r3_a_binding_that_is_enabled_again_lets_its_device_in
                r3_what_the_operator_had_disabled_stays_disabled
            }
            line {
                a_look_connects
                writes_without_a_connection_fail_and_change_nothing
                writes_after_the_line_was_closed_fail_and_change_nothing
                writes_after_the_router_hung_up_fail_and_change_nothing
                a_look_connects_again_after_the_router_hung_up
                a_probe_says_what_the_router_is
                r1_another_box_is_neither_read_nor_written
                r1_a_box_that_turns_out_to_be_another_is_written_no_more
                a_router_without_a_connection_can_be_closed
            }
        }
    };
    (@tests $open:ident $args:tt $($group:ident $cases:tt)*) => {
        $(
            mod $group {
                use super::$open as open;

                $crate::gateway_conformance! { @cases $group $args $cases }
            }
        )*
    };
    (@cases $group:ident $args:tt { $($case:ident)* }) => {
        $($crate::gateway_conformance! { @case $group $args $case })*
    };
    (@case $group:ident ($($args:tt)*) $case:ident) => {
        #[tokio::test($($args)*)]
        async fn $case() {
            let bench = open().await;
            $crate::testing::conformance::gateway::$group::$case(&bench).await;
        }
    };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn every_case_is_listed() {
        let listed: BTreeSet<_> = include_str!("mod.rs").lines().map(str::trim).collect();
        let groups = [
            include_str!("cut.rs"),
            include_str!("line.rs"),
            include_str!("look.rs"),
            include_str!("restore.rs"),
        ];
        let lines = groups.iter().flat_map(|group| group.lines());
        for line in lines.filter_map(|line| line.strip_prefix("pub async fn ")) {
            let name = line.split('(').next().unwrap_or_default();
            assert!(listed.contains(name), "`{name}` is in no list");
        }
    }
}
