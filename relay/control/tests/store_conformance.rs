//! One suite for both engines of the store: what holds on SQLite holds on PostgreSQL.
//!
//! Each case gets a fresh database with one network. PostgreSQL is started by the test (`support/postgres.rs`).

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops where it fails")]

mod support {
    #[expect(dead_code, reason = "the faults of a server have a test of their own")]
    pub(crate) mod postgres;
    pub(crate) mod small_disk;
}
mod store_cases {
    pub(crate) mod attacks;
    pub(crate) mod audit;
    pub(crate) mod certificates;
    pub(crate) mod domains;
    pub(crate) mod events;
    pub(crate) mod files;
    pub(crate) mod groups;
    pub(crate) mod join;
    pub(crate) mod keys;
    pub(crate) mod lab;
    pub(crate) mod leases;
    pub(crate) mod migrations;
    pub(crate) mod networks;
    pub(crate) mod nodes;
    pub(crate) mod policies;
    pub(crate) mod publications;
    pub(crate) mod server;
    pub(crate) mod silent_server;
}

use std::pin::Pin;

use store_cases::lab::{Engine, Lab};
use store_cases::*;

#[tokio::test(flavor = "multi_thread")]
async fn every_case_holds_on_sqlite() {
    run_all(&Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_holds_on_postgresql() {
    run_all(&Engine::postgres()).await;
}

/// Runs every case on a database of its own and names all that failed.
async fn run_all(engine: &Engine) {
    let mut failed = Vec::new();
    for (name, case) in cases() {
        if tokio::spawn(case(engine.lab().await)).await.is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "failed on {engine:?}: {failed:#?}");
}

type Case = fn(Lab) -> Pin<Box<dyn Future<Output = ()> + Send>>;

macro_rules! cases {
    ($($module:ident::$name:ident,)*) => {
        fn cases() -> Vec<(&'static str, Case)> {
            vec![$((
                concat!(stringify!($module), "::", stringify!($name)),
                |lab| Box::pin($module::$name(lab)),
            )),*]
        }
    };
}

cases! {
    events::tell_followers_of_every_row_and_of_nothing_else,
    networks::are_listed_by_name,
    networks::have_unique_names,
    networks::cannot_be_named_what_one_engine_refuses,
    networks::are_made_whole_or_not_at_all_when_the_caller_goes_away,
    networks::with_nodes_are_not_removed,
    networks::take_their_keys_groups_and_policies_with_them,
    join::adds_the_node_spends_a_use_and_leases_the_first_address,
    join::again_with_the_same_key_and_machine_answers_the_same_and_spends_nothing,
    join::again_is_answered_although_the_key_was_revoked_since,
    join::numbers_a_taken_name,
    join::gives_no_reserved_name_and_notes_the_one_that_was_wanted,
    join::puts_the_node_into_the_groups_that_its_key_has_now,
    join::with_another_key_names_the_node_that_the_machine_is,
    join::without_a_limit_lets_many_in,
    join::refuses_when_no_address_is_left_and_spends_nothing,
    join::makes_the_node_ephemeral_when_key_or_joiner_say_so,
    join::refuses_one_node_more_than_the_network_may_have_and_spends_nothing,
    leases::follow_the_cursor_and_wrap_around_held_addresses,
    leases::rest_for_thirty_days,
    leases::of_ephemeral_nodes_rest_for_a_day,
    leases::of_a_large_cluster_skip_the_held_run,
    leases::of_a_network_are_a_share_of_the_pool_those_at_rest_included,
    nodes::are_listed_with_their_groups,
    nodes::are_added_only_with_known_groups_a_free_name_and_a_new_key,
    nodes::are_renamed_unless_the_name_is_taken,
    nodes::take_their_publications_and_memberships_with_them,
    nodes::of_another_network_are_not_there,
    keys::of_both_kinds_are_listed_newest_first,
    keys::are_found_by_id_with_their_hash,
    keys::are_revoked_once,
    keys::of_another_network_are_not_there,
    keys::are_not_made_by_one_that_was_revoked_meanwhile,
    publications::are_stored_as_given_with_an_overlay_port,
    publications::of_the_same_name_and_node_are_replaced_in_place,
    publications::that_name_other_ports_give_the_old_ones_back,
    publications::change_protocol_without_leaving_anything_behind,
    publications::cannot_take_a_name_of_another_node,
    publications::cannot_overlap_in_ports_even_across_networks,
    publications::of_tcp_and_udp_share_a_number,
    publications::cannot_share_a_hostname_even_across_networks,
    publications::leave_hostnames_that_rest_for_thirty_days_and_only_for_others,
    publications::leave_hostnames_that_a_clock_far_ahead_does_not_free,
    publications::leave_hostnames_that_do_not_rest_below_a_domain_of_the_next,
    publications::leave_no_more_hostnames_at_rest_than_a_network_may_have,
    publications::leave_hostnames_that_no_other_node_of_the_network_pushes_out,
    publications::hold_several_hostnames_in_their_order_and_none_of_anothers,
    publications::whose_hostname_is_none_are_corrupt_rows,
    publications::of_tls_have_hostnames_and_no_port,
    domains::are_listed_by_name_and_asked_for_once,
    domains::are_proved_by_one_network_and_cover_what_lies_below,
    domains::rest_for_thirty_days_and_only_for_others,
    domains::that_rest_are_an_administrators_to_give,
    domains::of_a_removed_network_rest_too,
    domains::of_another_network_are_not_there,
    migrations::tell_whose_certificates_are_where_one_ca_was_asked,
    migrations::keep_hostnames_and_ports_of_the_first_schema,
    migrations::count_the_addresses_that_networks_have,
    migrations::keep_options_that_were_columns,
    migrations::refuse_options_of_a_newer_version,
    publications::of_ranges_get_runs_of_overlay_ports,
    publications::of_a_wireguard_node_keep_the_port_that_it_names,
    publications::that_end_above_the_last_port_are_refused,
    publications::with_the_id_of_another_never_overwrite_it,
    publications::of_another_network_are_not_there,
    publications::give_everything_back_when_removed,
    publications::that_take_the_place_of_others_do_so_whole_or_not_at_all,
    groups::are_listed_with_their_nodes,
    groups::take_only_nodes_of_their_network,
    groups::have_unique_names_and_can_be_removed,
    policies::count_revisions_and_refuse_a_stale_writer,
    policies::are_removed_and_begin_again,
    certificates::are_replaced_by_their_successor_in_one_step,
    certificates::go_with_their_network,
    certificates::have_one_order_in_flight_for_each_subject,
    certificates::that_fail_remember_why_and_when_the_next_try_is,
    certificates::come_from_an_account_that_is_made_once_and_kept,
    certificates::are_sealed_anew_all_at_once_and_lose_nothing_with_a_wrong_key,
    audit::names_actor_action_and_thing_of_every_change,
    audit::is_not_written_when_nothing_changed,
    audit::is_searched_by_text_and_network_and_paged,
    audit::keeps_hostile_text_as_it_was,
    audit::stays_linear_under_parallel_writers,
    audit::refuses_change_removal_and_gaps_in_the_tables,
    audit::shows_an_edited_row,
    audit::shows_a_removed_row,
    audit::shows_a_truncated_end,
    audit::shows_reordered_rows,
    audit::shows_an_added_row,
    audit::of_many_pages_is_verified_whole,
    audit::shows_a_truncated_end_whose_head_was_moved,
    audit::shows_a_chain_that_was_computed_anew,
    audit::shows_what_was_forged_also_after_the_next_change,
    audit::keeps_rows_that_were_made_to_look_old,
    audit::is_signed_although_the_relay_died_before_it_was,
    audit::holds_what_is_expected_of_it_or_says_so,
    audit::is_verified_a_page_at_a_time,
    audit::loses_old_rows_behind_a_signed_checkpoint,
    attacks::attack_02_only_who_proves_the_secret_learns_why,
    attacks::attack_02_strangers_write_nothing,
    attacks::attack_02_refused_joins_are_one_row_with_their_count,
}
