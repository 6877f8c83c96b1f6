/* bti/control.h - the BTI's end of the control channel: frames over one TCP connection.
 *
 * Limits     a frame is at most WIRE_FRAME_MAX octets; no progress for quiet_ms ends it
 * (CONTROL_LOST, E_TIMEOUT).
 * Ownership  after CONTROL_LOST, or whenever the user wants, the user calls control_free(), inside
 * a callback as well.
 * Threads    the loop's. */
#ifndef BTI_CONTROL_H
#define BTI_CONTROL_H

#include "base/loop.h"
#include "base/net.h"
#include "provisioning/wire.h"

struct control;
enum control_event {
    CONTROL_OPEN,  /* connected */
    CONTROL_FRAME, /* one whole frame, valid during the callback */
    CONTROL_LOST   /* why: E_TIMEOUT, E_IO, E_PARSE (no frame), E_STATE (the peer closed) */
};
typedef void control_fn(void *arg, enum control_event ev, struct view frame, enum err why);

/* from: local address, port 0; family 0 any. */
MUST_CHECK enum err control_open(struct loop *l, const struct net_addr *to,
                                 const struct net_addr *from, uint64_t quiet_ms, control_fn *fn,
                                 void *arg, struct control **out);
/* Copies. E_FULL, E_IO. */
MUST_CHECK enum err control_send(struct control *c, struct view octets);
void control_patience(struct control *c, uint64_t quiet_ms); /* from now on */
void control_free(struct control *c);                        /* NULL is fine; closes at once */

#endif
