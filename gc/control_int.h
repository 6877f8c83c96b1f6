/* gc/control_int.h - between control.c (socket), control_ops.c (answers) and control_route.c. */
#ifndef GC_CONTROL_INT_H
#define GC_CONTROL_INT_H

#include <jansson.h>

#include "base/view.h"
#include "gc/control.h"

/* Every JSON allocation goes through base/mem.h; before any other thread uses jansson. */
void control_ops_init(void);
/* One request line -> one answer line in mem_ memory, *out_n octets with the newline. NULL: no
 * memory. started_us: when the process started, wall. Control thread. */
char *control_answer(const struct control_cfg *cfg, uint64_t started_us, struct view request,
                     size_t *out_n);

struct control_ask { /* one request */
    const struct control_cfg *cfg;
    uint64_t started_us;
    const json_t *request;
    const char *error; /* set: the answer says no */
};
/* Octets from anywhere as a JSON string; a member; an element. Values are taken over. */
json_t *control_text(struct view v);
void control_put(json_t *object, const char *key, json_t *value);
void control_add(json_t *array, json_t *value);

void control_op_route(struct control_ask *a, json_t *answer);
void control_op_trunks(struct control_ask *a, json_t *answer); /* control_trunks.c */

#endif
