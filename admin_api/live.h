/* admin_api/live.h - what gate controllers say of calls, as the API shows it (openapi/live.yaml).
 * Between res_live*.c, res_preemption.c and events.c. Threads: any. */
#ifndef ADMIN_API_LIVE_H
#define ADMIN_API_LIVE_H

#include "admin_api/api.h"
#include "admin_api/gates.h"

enum { LIVE_WAIT_MS = 1000 }; /* for the slowest node */

/* A member as it is; as null when it is an empty text, zero or absent. A new reference. */
json_t *live_member(const json_t *row, const char *name);
json_t *live_or_null(const json_t *row, const char *name);
/* A Call of a node's row. */
json_t *live_call(const json_t *row, const char *node);
/* NodeReaches of what was heard. */
json_t *live_reaches(const struct gate_answer *a, size_t n);
/* {"op":NAME} to all nodes. *out: GATES_MAX of them, live_free(). Returns how many; 0 and *out
 * NULL: no memory. */
size_t live_ask(struct api_request *r, const json_t *request, struct gate_answer **out);
size_t live_ask_op(struct api_request *r, const char *op, struct gate_answer **out);
void live_free(struct gate_answer *a, size_t n);
/* What a node answered to an op, without its ladder unless wanted: the one that knows the call.
 * False: no node does, and the answer says so (404), or that one was silent (503). */
bool live_find(struct api_request *r, struct api_answer *a, const char *id, bool ladder,
               bool octets, struct gate_answer *out);

/* res_live_nodes.c, res_live_ladder.c, res_live_end.c */
api_handler live_list_sessions, live_list_registrations, live_list_servers, live_list_nodes,
    live_list_alarms, live_get_ladder, live_end_call, live_stream_events;

#endif
