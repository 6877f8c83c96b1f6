/* admin_api/res_records.h - which call records: the filter that the list and the export share.
 * Threads: any, nothing shared. */
#ifndef ADMIN_API_RES_RECORDS_H
#define ADMIN_API_RES_RECORDS_H

#include "admin_api/res_subscribers.h"

/* A row of cdr.call as c. */
#define CDR_STARTED_AT  JSON_TIME_MS("c.started_at")
#define CDR_ANSWERED_AT JSON_TIME_MS("c.answered_at")
#define CDR_ENDED_AT    JSON_TIME_MS("c.ended_at")
#define CDR_SECONDS     "round(extract(epoch FROM c.ended_at - c.answered_at)::numeric, 3)"
#define CDR_JSON                                                                                   \
    "jsonb_build_object('cdr_id', c.cdr_id, 'started_at', " CDR_STARTED_AT                         \
    ", 'answered_at', " CDR_ANSWERED_AT ", 'ended_at', " CDR_ENDED_AT ", 'seconds', " CDR_SECONDS  \
    ", 'caller_line', c.caller_line, 'callee_line', c.callee_line, 'caller', c.caller, 'called', " \
    "c.called, 'routed', c.routed, 'route', c.route, 'status', c.status, 'ended_by', c.end_by, "   \
    "'private', c.private, 'forwarded_by', nullif(c.forwarded_by, ''), 'attest', "                 \
    "nullif(c.attest, ''), 'priority', nullif(c.priority, ''), 'preempted_by', "                   \
    "nullif(c.preempted_by, ''), 'call_id', c.call_id, 'node', c.node)"

/* Conditions over cdr.call as c; the parameters begin at $3. */
#define CDR_FILTER                                                                                 \
    "($3::timestamptz IS NULL OR c.started_at >= $3::timestamptz) AND ($4::timestamptz IS NULL "   \
    "OR c.started_at < $4::timestamptz) AND ($5::bigint IS NULL OR c.caller_line = $5::bigint OR " \
    "c.callee_line = $5::bigint) AND ($6::text IS NULL OR c.caller = $6::text OR c.called = "      \
    "$6::text OR c.routed = $6::text) AND ($7::int IS NULL OR c.status = $7::int) AND ($8::text "  \
    "IS NULL OR c.route = $8::text) AND ($9::text IS NULL OR c.node = $9::text)"
enum { CDR_FILTERS = 7 };

void cdr_filter(const struct api_request *r, struct pg_param out[CDR_FILTERS]);
/* Into the audit log, with the transaction of the request: what was read, by which parameters
 * (names, NULL-terminated) and whatever `more` says (taken over; NULL: nothing). False: the answer
 * holds a problem. */
bool records_audit(struct api_request *r, struct api_answer *a, const char *object,
                   const char *const *params, json_t *more);
extern const char *const CDR_PARAMS[]; /* names of the filter's parameters */

api_handler res_export_cdrs;

#endif
