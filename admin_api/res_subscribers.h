/* admin_api/res_subscribers.h - what the handlers of subscribers and records share: how rows become
 * JSON, how fields become parameters of statements. Threads: any, nothing shared. */
#ifndef ADMIN_API_RES_SUBSCRIBERS_H
#define ADMIN_API_RES_SUBSCRIBERS_H

#include "admin_api/api.h"

/* "2026-11-24T08:30:00Z", and to the millisecond; NULL stays NULL. */
#define JSON_TIME(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
#define JSON_TIME_MS(column)                                                                       \
    "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"

enum { RES_INT_TEXT = 24, RES_LIST_TEXT = 1024 };

/* Parameters of statements; what is absent or null becomes NULL. */
struct pg_param res_param(const struct api_request *r, const char *name);
struct pg_param res_text(const struct view v);
struct pg_param res_bool(const json_t *body, const char *name);
struct pg_param res_int(const json_t *body, const char *name, char text[RES_INT_TEXT]);

/* Texts of a list with blanks between; false: they do not fit. */
bool res_words(const json_t *list, char *text, size_t bytes);
/* "priority", of each namespace its highest value (gc/priority.h): false, and a problem at the
 * value, when a namespace is there twice; and as the database has it, "ets.1 dsn.flash". */
bool res_check_priority(const json_t *priority, struct api_answer *a);
/* Fields that let somebody preempt calls by SIP are given by those who may preempt themselves; to
 * take them away, lines.write or routes.write do. fields: NULL-terminated names. False: 403. */
bool res_may_entitle(const struct api_request *r, struct api_answer *a, const char *const *fields);
struct pg_param res_priority(const json_t *body, char text[RES_LIST_TEXT]);

/* A statement whose result nobody wants; true: it was done. */
bool res_do(struct api_request *r, struct api_answer *a, const char *sql, const struct pg_param *p,
            size_t n, const char *const *pointers);
/* One text of the first row, "" when there is none or it does not fit; false: the answer holds a
 * problem. */
bool res_ask(struct api_request *r, struct api_answer *a, const char *sql, const struct pg_param *p,
             size_t n, const char *const *pointers, char *out, size_t out_bytes);
/* 201 with Location /api/v1/<path>/<key>: for after the row was made and read. */
void res_created(struct api_answer *a, const char *path, const char *key);
/* Locks a line until the end of the request; false: there is none, and 422 at the pointer (404
 * without one) says so. */
bool res_lock_line(struct api_request *r, struct api_answer *a, struct pg_param line,
                   const char *pointer);

/* A line's service record (res_services.c): the columns of core.line_service as s, as a JSON
 * object; body: the fields that it names are written, others stay (for a new row: are off). False:
 * the answer holds a problem, its pointers begin with `prefix`. */
#define JSON_SERVICES                                                                              \
    "jsonb_build_object('caller_id', coalesce(s.caller_id, false), 'private', "                    \
    "coalesce(s.private, false), 'reject_anonymous', coalesce(s.rejects_anonymous, false), "       \
    "'forward_always', s.forward_always, 'forward_busy', s.forward_busy, 'forward_no_answer', "    \
    "s.forward_no_answer, 'no_answer_s', coalesce(s.no_answer_s, 20))"
bool res_write_services(struct api_request *r, struct api_answer *a, struct pg_param line,
                        const json_t *services, const char *prefix);

/* Handlers, by the files that they are in: res_accounts.c, res_lines.c, res_services.c,
 * res_numbers.c, res_btis.c, res_orders.c, res_credentials.c. */
api_handler res_list_accounts, res_get_account, res_create_account, res_update_account,
    res_delete_account, res_list_lines, res_get_line, res_create_line, res_update_line,
    res_delete_line, res_get_line_services, res_update_line_services, res_list_profiles,
    res_get_profile, res_create_profile, res_update_profile, res_delete_profile, res_apply_profile,
    res_list_numbers, res_get_number, res_create_number, res_update_number, res_delete_number,
    res_list_btis, res_get_bti, res_revoke_bti, res_list_orders, res_get_order, res_create_order,
    res_cancel_order, res_list_credentials, res_get_credential, res_create_credential,
    res_update_credential, res_delete_credential;

#endif
