/* gc/features.h - codes that a line dials: *67 and *82 before a number, and those that the gate
 * itself answers (*57 *69 *72 *73 *77 *87 *90 *91 *92 *93, and RFC 5503 section 5's call-trace).
 *
 * Way        setup.c asks feature_of(); what the gate answers goes to feature_run(), which asks the
 *            database (store_line_ask()) and is called back by the worker's queue (park.h). 200
 * goes out only when the database has it; *69 goes on as a call. A route or a dial rule that an
 * operator made for a code wins over its meaning here. The 200    is the gate's own, as a user
 * agent: every media line inactive, BYE at once after the ACK. All failures are 4xx and 5xx without
 * a word of explanation. Threads    feature_of(): any; the rest: the worker's. */
#ifndef GC_FEATURES_H
#define GC_FEATURES_H

#include "gc/store.h"

enum feature_does {
    FEATURE_HIDES,       /* the call that follows is private */
    FEATURE_SHOWS,       /* the call that follows is shown, whatever the line's default */
    FEATURE_SETS,        /* setting := value; from here on the gate answers itself */
    FEATURE_SETS_NUMBER, /* setting := the number that follows */
    FEATURE_TRACES,      /* the last incoming call */
    FEATURE_TRACES_DIALOG,
    FEATURE_RETURNS /* calls back who called last */
};

struct feature {
    const char *code;
    enum feature_does does;
    enum line_setting setting;
    const char *value;
    const char *words; /* what it does, for people */
};

extern const struct feature feature_call_trace; /* sip:call-trace@domain */

/* The code that the keys begin with, and what follows it. NULL: none of ours. */
const struct feature *feature_of(const struct snapshot *snap, struct view keys, struct view *rest);
bool feature_is_answered(const struct feature *f); /* by the gate; NULL: no */

/* features_run.c */
struct setup;
struct worker;
struct ctx;
/* The call is begun, its request announced; s->feature is one that the gate answers. */
void feature_run(struct worker *w, const struct setup *s, struct ctx *c);

/* features_answer.c: the gate as a user agent */
struct call;
struct inbound;
struct sip_msg;
struct own_answer;
/* Whether there will be an answer to what the request offers. */
bool own_can_answer(const struct sip_msg *m);
/* 200 to c's INVITE. */
void own_answer(struct ctx *c);
void own_acked(struct call *call);
/* A request of the caller inside that dialog. */
void own_request_in(struct worker *w, const struct inbound *in, struct call *call);
void own_forget(struct call *call);

#endif
