/* gc/divert.h - calls that go on to another number by the called line's own service record (*72,
 * busy, no answer), and the one model from which History-Info (RFC 7044), Diversion (RFC 5806) and
 * P-DCS-Redirect (RFC 5503 section 8) are written.
 * Threads    the worker's. */
#ifndef GC_DIVERT_H
#define GC_DIVERT_H

#include "gc/setup.h"

enum { DIVERT_MAX = 5, DIVERT_TEXT = 800 }; /* hops of one call: more is a loop, 482... see docs */

enum divert_why { DIVERT_ALWAYS, DIVERT_BUSY, DIVERT_NO_ANSWER };

struct diversion {
    char by[DIAL_E164_MAX]; /* number whose line sent it on */
    char to[DIAL_E164_MAX];
    uint64_t line; /* of by */
    enum divert_why why;
    bool is_private; /* that line's calls are private: its number is not shown outside */
};
struct diversions { /* of one call, oldest first */
    unsigned n;
    struct diversion d[DIVERT_MAX];
};

/* Header values of ours for a request to that party: 0 to 3 lines into text; n_lines of lines. */
unsigned divert_headers(struct worker *w, const struct diversions *all, const char *called,
                        const struct party *to, char text[3][DIVERT_TEXT]);

#endif
