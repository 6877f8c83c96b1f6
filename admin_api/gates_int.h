/* admin_api/gates_int.h - between gates.c (who is there, fan-out), gates_socket.c (control sockets)
 * and gates_redis.c (sealed commands on a thread of its own). */
#ifndef ADMIN_API_GATES_INT_H
#define ADMIN_API_GATES_INT_H

#include <stdint.h>

#include "admin_api/gates.h"
#include "base/view.h"

enum { GATES_SOCKETS_MAX = 16, GATES_PATH_MAX = 108 };

/* ---- control sockets ---------------------------------------------------------------------------
 */
struct gate_socket_ask { /* one question to one socket */
    const char *path;
    struct view request; /* one line with its newline */
    enum err e;          /* E_STATE until it is over */
    char *answer;        /* E_OK: mem_free() */
    size_t answer_n;
    int fd; /* internal, as the rest */
    size_t sent, room;
};
/* All at the same time; over when the last has answered or at deadline_ms (mono). */
void gate_sockets_run(struct gate_socket_ask *a, size_t n, uint64_t deadline_ms);

/* ---- Redis -------------------------------------------------------------------------------------
 */
struct gates_redis;
struct gate_remote_ask;
MUST_CHECK enum err gates_redis_open(const struct gates_cfg *cfg, struct gates_redis **out,
                                     char *why, size_t why_bytes);
void gates_redis_close(struct gates_redis *r); /* NULL is fine */
/* Names of remote nodes that are known. */
size_t gates_redis_nodes(struct gates_redis *r, char out[GATES_MAX][GATE_NAME_MAX]);
/* Begins; NULL: no memory. Each must be waited for. */
struct gate_remote_ask *gates_redis_begin(struct gates_redis *r, const char *node,
                                          struct view request, uint64_t deadline_ms);
/* Blocks until it is over, not longer than its deadline. E_OK: *answer (mem_free()); E_IO. */
enum err gates_redis_wait(struct gates_redis *r, struct gate_remote_ask *a, char **answer,
                          size_t *answer_n);

#endif
