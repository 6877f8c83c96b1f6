/* gc/control_int.h - between control.c (socket), control_ops.c (answers) and control_route.c. */
#ifndef GC_CONTROL_INT_H
#define GC_CONTROL_INT_H

#include <jansson.h>

#include "base/net.h"
#include "base/view.h"
#include "gc/control.h"

/* Every JSON allocation goes through base/mem.h; before any other thread uses jansson. */
void control_ops_init(void);
/* One request line -> one answer line in mem_ memory, *out_n octets with the newline. NULL: no
 * memory. started_us: when the process started, wall. Control thread. */
char *control_answer(const struct control_cfg *cfg, uint64_t started_us, struct view request,
                     size_t *out_n);

/* control_redis.c: answers what comes through Redis, on the control thread's loop. cfg outlives it.
 */
struct loop;
struct control_redis;
MUST_CHECK enum err control_redis_open(struct loop *l, const struct control_cfg *cfg,
                                       uint64_t started_us, struct control_redis **out);
void control_redis_close(struct control_redis *c); /* NULL is fine */

struct control_ask { /* one request */
    const struct control_cfg *cfg;
    uint64_t started_us;
    const json_t *request;
    const char *error; /* set: the answer says no */
};
/* Octets from anywhere as a JSON string; a member; an element. Values are taken over. */
json_t *control_text(struct view v);
json_t *control_cstr(const char *s);
json_t *control_count(uint64_t n);
json_t *control_when(uint64_t us);                 /* RFC 3339; "" when it did not happen (0) */
json_t *control_address(const struct net_addr *a); /* "" for none */
void control_put(json_t *object, const char *key, json_t *value);
void control_add(json_t *array, json_t *value);

struct view control_view(const json_t *text); /* of a JSON string; empty: it is none */

/* control_calls.c */
struct trace_call;
json_t *control_call_row(const struct trace_call *c, bool whole);
void control_op_calls(struct control_ask *a, json_t *answer);
void control_op_recent(struct control_ask *a, json_t *answer);
void control_op_call(struct control_ask *a, json_t *answer);
void control_op_end(struct control_ask *a, json_t *answer);
void control_op_events(struct control_ask *a, json_t *answer); /* control_events.c */
void control_op_alarms(struct control_ask *a, json_t *answer); /* control_alarms.c */
void control_op_route(struct control_ask *a, json_t *answer);
void control_op_trunks(struct control_ask *a, json_t *answer); /* control_trunks.c */
void control_op_peers(struct control_ask *a, json_t *answer);  /* control_peers.c */
/* control_preempt.c */
void control_op_preempt(struct control_ask *a, json_t *answer);
void control_op_emergency(struct control_ask *a, json_t *answer);
json_t *control_emergency_modes(const struct control_cfg *cfg);

#endif
