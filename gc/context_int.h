/* gc/context_int.h - between context.c (life, upwards, the end), context_send.c (downwards) and
 * context_answer.c (events of legs). */
#ifndef GC_CONTEXT_INT_H
#define GC_CONTEXT_INT_H

#include "gc/context.h"

/* context.c: CANCEL to all legs of an INVITE but one (NULL: all). reason: value of a Reason header;
 * NULL: none. */
void ctx_cancel_legs(struct ctx *c, const struct leg *but, const char *reason);

/* context_send.c: a trunk that knows us by a password: the same request once more with the answer
 * to its challenge. False: it was not sent. */
bool ctx_prove(struct ctx *c, const struct leg *l, const struct sip_msg *challenge,
               unsigned breadth);

/* context_answer.c: nothing was heard of a leg while others could be tried. leg: a struct leg. */
void ctx_patience(void *leg);

#endif
