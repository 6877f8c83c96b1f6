/* base/redis.h - Redis, asynchronous in a loop. The only door to hiredis.
 *
 * Reconnects by itself (back-off 100 ms doubling to 2 s); a watchdog PING each second, three missed
 * replies drop the connection (hiredis 0.14 has no timeouts of its own). Subscriptions use a second
 * connection and are issued again after each reconnect.
 * Errors     E_STATE when down (nothing queued), E_FULL past max_queue; a callback gets E_IO when
 * the connection is lost, E_STATE for an error reply. Threads: one loop, one thread. */
#ifndef BASE_REDIS_H
#define BASE_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/view.h"

struct redis;
struct redis_reply; /* valid during the callback */

typedef void redis_fn(void *arg, enum err e, const struct redis_reply *r);
typedef void redis_message_fn(void *arg, struct view channel, struct view payload);
typedef void redis_up_fn(void *arg,
                         bool up); /* both connections up, subscriptions in place / lost */

struct redis_cfg {
    const char *address;         /* "unix:/path" or "127.0.0.1:6379" (numeric) */
    const char *const *channels; /* NULL-terminated; NULL: no second connection */
    const char *user, *password; /* NULL: no AUTH */
    unsigned max_queue;
    redis_up_fn *on_up;
    redis_message_fn *on_message;
    void *arg;
};

MUST_CHECK enum err redis_open(struct loop *l, const struct redis_cfg *cfg, struct redis **out);
void redis_close(struct redis *r);
bool redis_is_up(const struct redis *r);
/* fn may be NULL (reply ignored). argv are octets, e.g. {VIEW("SET"), key, blob, VIEW("EX"), secs}.
 */
MUST_CHECK enum err redis_cmd(struct redis *r, const struct view *argv, size_t argc, redis_fn *fn,
                              void *arg);

bool redis_is_nil(const struct redis_reply *r);
int64_t redis_int(const struct redis_reply *r);
struct view redis_text(const struct redis_reply *r); /* string/status; empty otherwise */
size_t redis_count(const struct redis_reply *r);     /* array length */
const struct redis_reply *redis_at(const struct redis_reply *r, size_t i);

#endif
