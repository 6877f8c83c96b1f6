/* gc/stir_verdict.h - what the check of a call's tokens came to (gc/stir.h). A value.
 * Threads    any. */
#ifndef GC_STIR_VERDICT_H
#define GC_STIR_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

enum stir_outcome {
    STIR_NONE,    /* checking is off for that trunk, or it is no trunk's call */
    STIR_PASSED,  /* verstat=TN-Validation-Passed */
    STIR_FAILED,  /* verstat=TN-Validation-Failed */
    STIR_UNKNOWN, /* verstat=No-TN-Validation: no token, no certificate in time */
    STIR_WAITS    /* a certificate is being fetched: park the call */
};

struct stir_entry;

struct stir_verdict {
    enum stir_outcome outcome;
    char attest;        /* 'A', 'B', 'C'; 0: none */
    unsigned status;    /* what a rejecting policy answers: 403, 428, 436, 437, 438; 0: nothing */
    const char *reason; /* its phrase, a literal */
    const char *why;    /* for trace and log, a literal */
    struct stir_entry *coming; /* STIR_WAITS: for stir_wait() */
};

#endif
