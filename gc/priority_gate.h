/* gc/priority_gate.h - Resource-Priority (RFC 4412) of messages at this gate: who may ask it, what
 * may go on, what is answered. gc/priority.h has the rules without the messages.
 * Threads    the worker's. */
#ifndef GC_PRIORITY_GATE_H
#define GC_PRIORITY_GATE_H

#include "gc/priority.h"
#include "gc/worker_int.h"

enum { PRIORITY_LINE_MAX = PRIORITY_TEXT_MAX + 32 };

/* What a request asks and its sender may; is_known false: nothing that counts, the extension is
 * off, or the sender may not (an emergency call goes on without). */
void priority_granted(struct worker *w, const struct inbound *in, struct priority_ask *out);
/* Whether a Resource-Priority with that value may go on. What no namespace of ours is stays as it
 * is (RFC 4412 section 4.6.2); a registered one that is not in use here is nothing for lines and
 * trunks outside to ask of others. */
bool priority_passes(struct worker *w, const struct party *from, struct view value);
/* Status to refuse a request of a proven sender with, 0: none. room: for *extra. */
unsigned priority_status(struct worker *w, const struct sip_msg *m, const struct party *from,
                         char room[PRIORITY_LINE_MAX], struct view *extra);
/* "Accept-Resource-Priority: ...\r\n"; empty: the extension is off. */
struct view priority_accepted(const struct worker *w, char room[PRIORITY_LINE_MAX]);

#endif
