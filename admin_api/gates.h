/* admin_api/gates.h - asks the gate controllers of the cluster: this machine's by their control
 * sockets (gc/control.h), the others by sealed commands through Redis (gc/command.h).
 *
 * Discovery  the sockets of the configuration; for the rest the heartbeats hg:node:NAME and who
 * listens for commands, looked at each second. A node known by both is asked by its socket, so that
 * Redis away takes only the remote ones out; these stay known by name, and are silent. A remote one
 * that is gone is forgotten after GATES_FORGET_MS in which Redis was there.
 * Threads    any; blocking. */
#ifndef ADMIN_API_GATES_H
#define ADMIN_API_GATES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum { GATES_MAX = 64, GATE_NAME_MAX = 64, GATES_FORGET_MS = 600000 };

struct gates;
struct gates_cfg {
    const char *const *sockets; /* NULL-terminated; 16 at most */
    const char *redis;          /* "": none, then only the sockets */
    const char *redis_user, *redis_password;
    const char *command_key; /* file, 32 octets, the nodes' keys.command; "": sockets only */
};
MUST_CHECK enum err gates_open(const struct gates_cfg *cfg, struct gates **out, char *why,
                               size_t why_bytes);
void gates_close(struct gates *g); /* nobody asks any more */

struct gate_answer {
    char node[GATE_NAME_MAX];
    enum err e;     /* E_OK; E_IO: not reached or no answer in time; E_STATE: it refused: error */
    json_t *answer; /* E_OK, E_STATE; json_decref() */
    bool is_local;
};
/* The same request to every node at the same time; answers of those that were silent for
 * timeout_ms are E_IO. In the order of their names. Returns how many nodes there are. */
size_t gates_ask_all(struct gates *g, const json_t *request, unsigned timeout_ms,
                     struct gate_answer out[GATES_MAX]);
/* A request of its own for each: make() gives it, taken over; NULL: that node is not asked. */
typedef json_t *gates_make_fn(void *arg, const char *node);
size_t gates_ask_each(struct gates *g, gates_make_fn *make, void *arg, unsigned timeout_ms,
                      struct gate_answer out[GATES_MAX]);
/* One node by its name; E_NOTFOUND: no such node is known. NULL: any node, local ones first. What
 * is E_OK or E_STATE is as in out->e, too. */
MUST_CHECK enum err gates_ask(struct gates *g, const char *node, const json_t *request,
                              unsigned timeout_ms, struct gate_answer *out);
void gate_answers_free(struct gate_answer *a, size_t n);
/* Why a node refused; "" when it did not. As long as the answer. */
const char *gate_error(const struct gate_answer *a);

#endif
