/* gc/stir.h - STIR/SHAKEN (RFC 8224, 8588, 8946): tokens for calls that leave towards trunks which
 * want them, and the check of those that come. Certificates of others are fetched by a thread of
 * its own (gc/stir_fetch.h), never by a worker; a call waits for one stir.wait at most and then
 * goes on without a verdict.
 * Threads    one stir object for all workers; W: any worker. */
#ifndef GC_STIR_H
#define GC_STIR_H

#include "gc/divert.h"
#include "gc/identity.h"
#include "gc/stir_verdict.h"

enum { PASSPORT_HEADER_MAX = 2900, STIR_HEADERS_MAX = 2, STIR_DATE_MAX = 40, STIR_NOTE_MAX = 60 };

/* W: looks at the Identity headers of a call from a trunk. may_wait: STIR_WAITS is an answer;
 * stir_wait() or stir_forget() ends that verdict. */
void stir_check(struct worker *w, const struct inbound *in, const struct trunk *from, bool may_wait,
                struct stir_verdict *out);
/* W: the parked call of that ticket is woken when there is more to say. */
void stir_wait(struct worker *w, struct stir_verdict *v, uint64_t ticket);
void stir_forget(struct stir_verdict *v);
/* W: the check of a new call, with its policy. False: it is parked (setup_resume() comes here
 * again), or refused. True: c->stir says what came of it. */
bool stir_enter(struct ctx *c, const struct setup *s);
/* W: where we looked, a verstat that came with c->id counts for nothing, and goes. */
void stir_clean(struct ctx *c);
void stir_note(const struct stir_verdict *v, char out[STIR_NOTE_MAX]); /* " stir=A"; or empty */
const char *stir_verstat(enum stir_outcome outcome); /* NULL: STIR_NONE, STIR_WAITS */

struct stir_call { /* what is signed */
    const struct identity *id;
    const struct diversions *via; /* NULL: it was not diverted */
    const char *called;           /* the number that it was for at first */
    const struct party *from, *to;
    const struct stir_verdict *verdict; /* of how it came; NULL: it did not come from a trunk */
};
/* W: the Identity headers for a request to that trunk, "Identity: ..." each; returns how many.
 * out_attest: of the call as it leaves; 0: nothing was signed. */
unsigned stir_sign(struct worker *w, const struct stir_call *c,
                   char text[STIR_HEADERS_MAX][PASSPORT_HEADER_MAX], char *out_attest);
/* Whether the Identity headers that came with the call go to that party as they are. */
bool stir_keeps(const struct stir_call *c);
struct stir_room { /* texts of one request; it lives until that is rendered */
    char text[STIR_HEADERS_MAX][PASSPORT_HEADER_MAX];
    char date[STIR_DATE_MAX], note[16], asserted[ASSERTED_MAX];
};
/* W: what a request of c that leaves for `to` carries of tokens: into f, its texts into room. */
void stir_leave(struct ctx *c, const struct party *to, struct forwarding *f,
                struct stir_room *room);
/* Value of a Date header: now (RFC 3261 section 20.17). */
void stir_date(struct worker *w, char out[STIR_DATE_MAX]);

#endif
