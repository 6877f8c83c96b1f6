/* gc/setup.h - between setup.c (what is asked, by whom, whether it may) and way.c (where it goes).
 */
#ifndef GC_SETUP_H
#define GC_SETUP_H

#include "gc/context.h"
#include "gc/features.h"
#include "gc/identity.h"
#include "gc/priority.h"
#include "routing/route.h"

struct setup { /* one INVITE, as far as it is understood */
    const struct inbound *in;
    const struct snapshot *snap; /* NULL: nothing known */
    struct dialled dialled;    /* by the built-in plan alone; after way_decide() what it came to */
    char called[CDR_TEXT_MAX]; /* as dialled */
    const struct line *line;   /* of a proven caller; NULL */
    char caller[CDR_TEXT_MAX];
    struct identity id;
    bool is_forged; /* From or P-Preferred-Identity claims what is not the line's */
    /* What is dialled, behind a code if there is one. */
    char keys[SIP_MAX_URI + 8];
    const struct feature *feature; /* that code; NULL: none */
    enum identity_wish wish;
    bool is_call_back;       /* by a PSAP that we know */
    struct priority_ask ask; /* what it asks and may */
    bool preempts;           /* its sender may take others' places */
};

struct way {
    enum route_outcome outcome;
    unsigned n;      /* targets */
    unsigned status; /* when there is none */
    const char *reason;
    char route[CDR_TEXT_MAX];
    uint64_t callee_line;
};

/* An INVITE that was parked (gc/park.h) goes on: it is understood anew from the request that its
 * context kept, by the snapshot of now. Nothing happens when it is over or was cancelled. */
void setup_resume(struct ctx *c);
/* The same, towards a number instead of what was dialled (*69). */
void setup_resume_to(struct ctx *c, const char *number);

/* The dial rules' and routes' word on it; sets s->dialled. Pure but for the draw among routes. */
void way_decide(struct worker *w, struct setup *s, struct route_decision *out);
/* Targets for the context: addresses of trunks, contacts of the line, provisioning servers. */
void way_find(struct worker *w, const struct setup *s, const struct route_decision *d,
              struct ctx *c, struct way *out);

/* For divert.c. */
struct route_query way_query(struct worker *w, const struct snapshot *snap); /* as a line's call */
void way_to_phones(struct worker *w, uint64_t line_id, struct ctx *c, struct way *y);
void way_to_gateway(struct worker *w, const struct route_decision *d, struct ctx *c, struct way *y);
/* Takes away targets that media keys may not go to, or that sips: does not reach. */
void way_keep_safe(struct ctx *c, const struct sip_msg *m, struct way *y);

#endif
