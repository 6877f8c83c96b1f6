/* gc/displace.h - a call of priority that meets a limit takes the place of another one (RFC 4412
 * section 4.5.1): at the very end of its way through the gate, when all else is decided.
 *
 * Limits     limits.calls of its worker; limits.calls_per_line of the calling line, and, of the
 *            called line, more calls than that; channels of the trunk that it comes from, of those
 *            that it would go to, and of their routes.
 * Way        each limit that it meets needs a victim (gc/holdings.h); of one that is lacking the
 *            call is refused and nobody is harmed. Else all are told to end, their channels are
 *            kept for this call, and it waits (gc/park.h, DISPLACE_MS at most) until they are out
 *            of the way. What was kept goes back when it ends or does not need it.
 * Threads    the worker's. */
#ifndef GC_DISPLACE_H
#define GC_DISPLACE_H

#include <stdbool.h>

#include "gc/trunks.h"

enum { DISPLACE_MS = 1000, DISPLACE_ROUNDS = 3 };

struct call;
struct ctx;
struct sip_msg;

enum displace_debt { DEBT_LINE, DEBT_TRUNK_IN };
/* The call begins though it met that limit: it needs a victim for it. False: no memory. */
bool displace_owes(struct call *c, enum displace_debt debt);
/* Before the first target is tried; m: its request. True: go on. False: it waits, and goes on by
 * itself, or it was refused. */
bool displace(struct ctx *c, const struct sip_msg *m);
/* trunk_enter(), trunk_admit(): whether a channel is kept for the call there; and it took it. */
void displace_keeps(const struct call *c, const struct trunk_use *use, struct trunk_room *room);
void displace_use(struct call *c, const struct trunk_use *use);
void displace_forget(struct call *c); /* the call ends; twice is harmless */

#endif
