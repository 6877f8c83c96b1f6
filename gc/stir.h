/* gc/stir.h - STIR/SHAKEN (RFC 8224, 8588, 8946): tokens for calls that leave towards trunks which
 * want them, and the check of those that come. Certificates of others are fetched by a thread of
 * its own (gc/stir_fetch.h), never by a worker; a call waits for one stir.wait_ms at most and then
 * goes on without a verdict.
 * Threads    one stir object for all workers; W: any worker. */
#ifndef GC_STIR_H
#define GC_STIR_H

#include "gc/context.h"
#include "gc/divert.h"
#include "gc/identity.h"

enum { PASSPORT_HEADER_MAX = 2900 };

struct stir;

enum stir_outcome {
    STIR_NONE,    /* no Identity, or checking is off for that trunk */
    STIR_PASSED,  /* verstat=TN-Validation-Passed */
    STIR_FAILED,  /* verstat=TN-Validation-Failed */
    STIR_UNKNOWN, /* verstat=No-TN-Validation: no certificate in time, or a token of unknown kind */
    STIR_WAITS    /* a certificate is being fetched: park the call */
};
struct stir_verdict {
    enum stir_outcome outcome;
    char attest;        /* 'A', 'B', 'C'; 0: none */
    unsigned status;    /* what a rejecting policy answers: 403, 428, 436, 437, 438; 0: none */
    const char *reason; /* its phrase, a literal */
    const char *why;    /* for trace and log, a literal */
};

/* W: looks at the Identity headers of a call from a trunk. ticket: where the fetcher answers when
 * the outcome is STIR_WAITS (then ask again; is_last: do not wait any more). */
void stir_check(struct worker *w, const struct inbound *in, const struct trunk *from,
                const char *called, uint64_t ticket, bool is_last, struct stir_verdict *out);
/* W: the Identity headers for a request to that trunk, "Identity: ..." each; returns how many. */
unsigned stir_sign(struct worker *w, const struct identity *id, const struct diversions *via,
                   const char *called, const struct party *from, const struct party *to,
                   char text[2][PASSPORT_HEADER_MAX]);

#endif
