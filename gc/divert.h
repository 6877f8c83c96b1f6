/* gc/divert.h - calls that go on to another number by the called line's own service record (*72,
 * busy, no answer), and the one model from which History-Info (RFC 7044), Diversion (RFC 5806) and
 * P-DCS-Redirect (RFC 5503 section 8) are written. Rules in words: docs/identity.md.
 *
 * Way        setup -> way.c asks divert_begin() for a line that forwards; context.c asks
 *            divert_after() when all phones of that line are over, before the caller hears of it.
 * What goes on   a call of the forwarding line: its dial rules, its bar, its count of live calls.
 * Memory     struct divert of the context: only for lines that forward, until the final response;
 *            struct call_forward of the call: once it was forwarded, until its record is written.
 * Threads    the worker's. */
#ifndef GC_DIVERT_H
#define GC_DIVERT_H

#include "gc/setup.h"

enum {
    DIVERT_MAX = 5,         /* hops of one call, those before it came to us counted */
    DIVERT_TEXT = 1200,     /* of one header line */
    DIVERT_LINES = 3,       /* headers */
    DIVERT_NO_ANSWER_S = 20 /* for struct line.no_answer_s 0 */
};

/* DIVERT_UNREACHABLE: by FORWARD_NO_ANSWER as well: no phone is registered, or none can be reached.
 */
enum divert_why { DIVERT_ALWAYS, DIVERT_BUSY, DIVERT_NO_ANSWER, DIVERT_UNREACHABLE };

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

struct divert {
    struct diversions all;
    unsigned before;            /* hops that a believed trunk tells of */
    bool was_here;              /* it tells that this number sent the call on already */
    uint64_t line;              /* whose phones are asked; 0: it went to trunks */
    char number[DIAL_E164_MAX]; /* that it is for now */
    bool is_busy, is_silent;    /* of its phones one said 486, one nothing (408) */
    bool is_watched;            /* timer runs */
    struct loop_timer timer;    /* until the line counts as not answering */
};

struct call_forward { /* what the record of the call says */
    char routed[DIAL_E164_MAX], by[DIAL_E164_MAX];
    uint64_t line; /* that sent it on last: the call is in its count; 0: none */
};

/* Targets for the line of d, or for where its record sends the call; c gets its struct divert. */
void divert_begin(struct worker *w, const struct setup *s, const struct route_decision *d,
                  struct ctx *c, struct way *y);
/* Nobody of c's line took the call, and nothing is under way. False: it stays so. */
bool divert_after(struct ctx *c);
/* A phone of c's line, or a trunk, is over with that. */
void divert_note(struct ctx *c, unsigned status);
/* Of that leg the 2xx goes up: perhaps of a phone that the call had left. */
void divert_answered(struct ctx *c, const struct leg *l);
void divert_end(struct ctx *c); /* frees c->divert; NULL is fine */
/* A further request may leave while the phones that ring now still end. */
bool divert_keeps_share(const struct ctx *c);

/* The record of a call that was forwarded; nothing for others. */
void divert_record(const struct call *c, struct cdr *out);
void divert_forget(struct call *c);

/* Header lines of ours ("Name: value") for the request m from `from` to `to`: 0 to 3 of them. */
unsigned divert_headers(struct worker *w, const struct diversions *all, const struct sip_msg *m,
                        const struct party *from, const struct party *to,
                        char text[DIVERT_LINES][DIVERT_TEXT]);
/* What a believed trunk tells of hops before: sets before and was_here. */
void divert_read(struct worker *w, const struct sip_msg *m, const struct party *from,
                 struct divert *v);

#endif
