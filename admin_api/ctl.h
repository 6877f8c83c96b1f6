/* admin_api/ctl.h - headgatectl: what its commands share.
 *
 * A command is a row of a table: words, arguments, one line of help, a function. It gets what is
 * left of the command line and returns a process exit code (sysexits: 0, 1 = refused, 64 usage, 69
 * cannot reach, 70 ours, 78 configuration). Errors go to stderr in words, never with a secret. One
 * thread. */
#ifndef ADMIN_API_CTL_H
#define ADMIN_API_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "admin_api/ctl_http.h"
#include "base/pg.h"

/* CTL_PROPOSED: not done, because a policy wants two people for it: proposed. For main() alone,
 * which ends with 0. */
enum {
    CTL_PROPOSED = -1,
    CTL_OK = 0,
    CTL_REFUSED = 1,
    CTL_USAGE = 64,
    CTL_UNREACHABLE = 69,
    CTL_BROKEN = 70,
    CTL_CONFIG = 78
};

struct ctl {
    const char *conninfo;     /* the database, as its owner: for migrate alone */
    const char *migrations;   /* folder */
    struct ctl_http_cfg http; /* headgate-admin, or headgate-li for its officers */
    const char *base;         /* of its paths: "/api/v1", "/li/v1" */
    bool http_checked;
    char about[192];    /* "line 7": what a 404 means; "": it says so itself */
    char proposed[256]; /* numbers of changes that two people are wanted for, with blanks between */
    bool json, wait;
    struct pg_sync *db; /* opened by ctl_db() on first use */
};

struct ctl_args { /* what follows the command's words */
    int n;
    char **v;
};

/* "--name VALUE" anywhere in the arguments: removes and returns it; NULL when absent. */
const char *ctl_option(struct ctl_args *a, const char *name);
bool ctl_flag(struct ctl_args *a, const char *name);
int ctl_fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Connects on first use; prints why not and returns NULL. */
struct pg_sync *ctl_db(struct ctl *c);
/* One statement; prints the server's words on failure. out may be NULL; else free with
 * pg_result_free(). */
int ctl_query(struct ctl *c, const char *sql, const struct pg_param *p, size_t n,
              struct pg_result **out);
struct ec_public;
/* A P-256 public key in PEM, of any mode; ec_public_free() gives it back. */
int ctl_public_key(const char *path, struct ec_public **out);
int ctl_id(const char *text, const char *what, char out[24]); /* decimal id, bounded */

/* The words for what became a proposal (rc is what the command returned). */
int ctl_say_proposed(struct ctl *c, int rc);
/* Waits until the running gate controllers go by everything that the database has by now. */
int ctl_in_force(struct ctl *c);

/* Rows of texts, shown as an aligned table or as a JSON array of objects keyed by column. */
#define CTL_SQL_COLUMNS_MAX 16
int ctl_show(const struct ctl *c, const struct pg_result *r, const char *const *columns);
/* One object: key/value pairs, NULL-terminated list of alternating texts. */
void ctl_say(const struct ctl *c, const char *const *pairs);

int ctl_preempt_call(struct ctl *c, struct ctl_args *a);
int ctl_preempt_number(struct ctl *c, struct ctl_args *a);
int ctl_preempt_trunk(struct ctl *c, struct ctl_args *a);
int ctl_preempt_region(struct ctl *c, struct ctl_args *a);
int ctl_preempt_list(struct ctl *c, struct ctl_args *a);
int ctl_preempt_show(struct ctl *c, struct ctl_args *a);
int ctl_preempt_approve(struct ctl *c, struct ctl_args *a);
int ctl_preempt_reject(struct ctl *c, struct ctl_args *a);
int ctl_emergency_declare(struct ctl *c, struct ctl_args *a);
int ctl_emergency_end(struct ctl *c, struct ctl_args *a);
int ctl_emergency_list(struct ctl *c, struct ctl_args *a);
int ctl_config_check(struct ctl *c, struct ctl_args *a);
int ctl_api(struct ctl *c, struct ctl_args *a);
int ctl_help(struct ctl *c, struct ctl_args *a);
int ctl_completion(struct ctl *c, struct ctl_args *a);
int ctl_migrate(struct ctl *c, struct ctl_args *a);
int ctl_migrate_status(struct ctl *c, struct ctl_args *a);
int ctl_pki_init(struct ctl *c, struct ctl_args *a);
int ctl_pki_ps(struct ctl *c, struct ctl_args *a);
int ctl_pki_gc(struct ctl *c, struct ctl_args *a);
int ctl_pki_stir(struct ctl *c, struct ctl_args *a);
int ctl_key_new(struct ctl *c, struct ctl_args *a);
int ctl_key_pair(struct ctl *c, struct ctl_args *a);
int ctl_account_add(struct ctl *c, struct ctl_args *a);
int ctl_account_list(struct ctl *c, struct ctl_args *a);
int ctl_account_bar(struct ctl *c, struct ctl_args *a);
int ctl_account_unbar(struct ctl *c, struct ctl_args *a);
int ctl_line_add(struct ctl *c, struct ctl_args *a);
int ctl_line_list(struct ctl *c, struct ctl_args *a);
int ctl_line_bar(struct ctl *c, struct ctl_args *a);
int ctl_line_unbar(struct ctl *c, struct ctl_args *a);
int ctl_number_add(struct ctl *c, struct ctl_args *a);
int ctl_number_remove(struct ctl *c, struct ctl_args *a);
int ctl_route_add(struct ctl *c, struct ctl_args *a);
int ctl_route_list(struct ctl *c, struct ctl_args *a);
int ctl_route_remove(struct ctl *c, struct ctl_args *a);
int ctl_route_set(struct ctl *c, struct ctl_args *a);
int ctl_route_test(struct ctl *c, struct ctl_args *a);
int ctl_rule_add(struct ctl *c, struct ctl_args *a);
int ctl_rule_list(struct ctl *c, struct ctl_args *a);
int ctl_rule_set(struct ctl *c, struct ctl_args *a);
int ctl_rule_remove(struct ctl *c, struct ctl_args *a);
int ctl_trunk_add(struct ctl *c, struct ctl_args *a);
int ctl_trunk_list(struct ctl *c, struct ctl_args *a);
int ctl_trunk_show(struct ctl *c, struct ctl_args *a);
int ctl_trunk_set(struct ctl *c, struct ctl_args *a);
int ctl_trunk_disable(struct ctl *c, struct ctl_args *a);
int ctl_trunk_enable(struct ctl *c, struct ctl_args *a);
int ctl_trunk_remove(struct ctl *c, struct ctl_args *a);
int ctl_trunk_status(struct ctl *c, struct ctl_args *a);
int ctl_service_show(struct ctl *c, struct ctl_args *a);
int ctl_service_set(struct ctl *c, struct ctl_args *a);
int ctl_audit_list(struct ctl *c, struct ctl_args *a);
int ctl_audit_verify(struct ctl *c, struct ctl_args *a);
int ctl_policy_list(struct ctl *c, struct ctl_args *a);
int ctl_policy_set(struct ctl *c, struct ctl_args *a);
int ctl_change_list(struct ctl *c, struct ctl_args *a);
int ctl_change_show(struct ctl *c, struct ctl_args *a);
int ctl_change_approve(struct ctl *c, struct ctl_args *a);
int ctl_change_reject(struct ctl *c, struct ctl_args *a);
int ctl_trace_list(struct ctl *c, struct ctl_args *a);
int ctl_bti_list(struct ctl *c, struct ctl_args *a);
int ctl_bti_revoke(struct ctl *c, struct ctl_args *a);
int ctl_order_new(struct ctl *c, struct ctl_args *a);
int ctl_order_list(struct ctl *c, struct ctl_args *a);
int ctl_order_cancel(struct ctl *c, struct ctl_args *a);
int ctl_credential_add(struct ctl *c, struct ctl_args *a);
int ctl_credential_list(struct ctl *c, struct ctl_args *a);
int ctl_credential_disable(struct ctl *c, struct ctl_args *a);
int ctl_credential_enable(struct ctl *c, struct ctl_args *a);
int ctl_credential_remove(struct ctl *c, struct ctl_args *a);
int ctl_cdr_list(struct ctl *c, struct ctl_args *a);
int ctl_status(struct ctl *c, struct ctl_args *a);
int ctl_calls(struct ctl *c, struct ctl_args *a);
int ctl_call_show(struct ctl *c, struct ctl_args *a);
int ctl_call_end(struct ctl *c, struct ctl_args *a);
int ctl_registrations(struct ctl *c, struct ctl_args *a);
int ctl_sessions(struct ctl *c, struct ctl_args *a);
int ctl_ps(struct ctl *c, struct ctl_args *a);
int ctl_nodes(struct ctl *c, struct ctl_args *a);
int ctl_alarms(struct ctl *c, struct ctl_args *a);
int ctl_token_revoke(struct ctl *c, struct ctl_args *a);
int ctl_token_list(struct ctl *c, struct ctl_args *a);
int ctl_token_new(struct ctl *c, struct ctl_args *a);
int ctl_role_remove(struct ctl *c, struct ctl_args *a);
int ctl_role_set(struct ctl *c, struct ctl_args *a);
int ctl_role_add(struct ctl *c, struct ctl_args *a);
int ctl_role_list(struct ctl *c, struct ctl_args *a);
int ctl_admin_remove(struct ctl *c, struct ctl_args *a);
int ctl_admin_enable(struct ctl *c, struct ctl_args *a);
int ctl_admin_disable(struct ctl *c, struct ctl_args *a);
int ctl_admin_set(struct ctl *c, struct ctl_args *a);
int ctl_admin_list(struct ctl *c, struct ctl_args *a);
int ctl_admin_add(struct ctl *c, struct ctl_args *a);
int ctl_li_agencies(struct ctl *c, struct ctl_args *a);
int ctl_li_agency(struct ctl *c, struct ctl_args *a);
int ctl_li_agency_add(struct ctl *c, struct ctl_args *a);
int ctl_li_agency_change(struct ctl *c, struct ctl_args *a);
int ctl_li_agency_retire(struct ctl *c, struct ctl_args *a);
int ctl_li_agency_approve(struct ctl *c, struct ctl_args *a);
int ctl_li_agency_refuse(struct ctl *c, struct ctl_args *a);
int ctl_li_orders(struct ctl *c, struct ctl_args *a);
int ctl_li_order(struct ctl *c, struct ctl_args *a);
int ctl_li_form(struct ctl *c, struct ctl_args *a);
int ctl_li_enter(struct ctl *c, struct ctl_args *a);
int ctl_li_approve(struct ctl *c, struct ctl_args *a);
int ctl_li_refuse(struct ctl *c, struct ctl_args *a);
int ctl_li_end(struct ctl *c, struct ctl_args *a);
int ctl_li_state(struct ctl *c, struct ctl_args *a);
int ctl_li_events(struct ctl *c, struct ctl_args *a);
int ctl_li_record(struct ctl *c, struct ctl_args *a);
int ctl_li_verify(struct ctl *c, struct ctl_args *a);
int ctl_whoami(struct ctl *c, struct ctl_args *a);
int ctl_change_withdraw(struct ctl *c, struct ctl_args *a);
int ctl_audit_key(struct ctl *c, struct ctl_args *a);
int ctl_cdr_export(struct ctl *c, struct ctl_args *a);
int ctl_line_set(struct ctl *c, struct ctl_args *a);

#endif
