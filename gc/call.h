/* gc/call.h - live calls: who talks to whom, by which dialogs; their traces and CDRs.
 *
 * Shape      a call begins with an INVITE that is routed and ends with its last dialog, or when no
 *            dialog came of it. It knows both ends as they were proven, so that a request inside a
 *            dialog reaches only the other end, over the connection of that end.
 * Limits     worker: limits.calls (and a reserve for emergency calls); DIALOGS_MAX for each call;
 *            CALL_AGE_MAX_MS.
 * Ownership  reference-counted: the table holds one, each context one more.
 * Threads    the worker's. */
#ifndef GC_CALL_H
#define GC_CALL_H

#include "gc/call_events.h"
#include "gc/holdings.h"
#include "gc/preempt.h"
#include "gc/priority.h"
#include "gc/trunks.h"
#include "gc/worker_int.h"

enum {
    DIALOGS_MAX = 16,
    CALL_AGE_MAX_MS = 12 * 3600 * 1000,
    SESSION_GRACE_T1 = 64, /* after a session interval without refresh */
    ACK_WAIT_T1 = 72       /* after an answer: 64*T1 (the callee gives up then) and some more */
};

struct side {
    struct party who;
    struct sip_flow flow;
    uint32_t cseq; /* highest that it used */
    /* In one block of just their size, replaced when one of them changes; below TAG_MAX,
     * LOCATION_URI_MAX, LOCATION_URI_MAX and ROUTE_MAX octets. Valid after side_begin(). */
    const char *tag;
    const char *uri;     /* of its From or To */
    const char *contact; /* its remote target; empty: not known */
    const char *route;   /* route set towards it beyond us; peers only */
    char *texts;
};

struct dialog {
    struct hlink in_call;
    struct side callee;
    bool is_confirmed, is_acked;
    enum naming naming;      /* under which its callee knows the caller */
    uint64_t session_due_ms; /* mono: not refreshed until then, it is over (RFC 4028); 0: never */
    uint64_t usage_due_ms;   /* mono: a subscription of REFER or SUBSCRIBE lives in it until then */
};

enum preempted { PREEMPTED_NOT, PREEMPTED_BY_CALL, PREEMPTED_BY_ADMINISTRATOR };

struct call {
    struct hlink by_call_id;
    struct worker *w;
    unsigned refs;
    bool is_live; /* in the table */
    bool is_emergency, is_answered, has_line;
    bool is_blv;          /* an operator looks whether the line is busy (RFC 5503 section 6) */
    bool is_usage;        /* no call: a dialog of SUBSCRIBE or REFER (usage.c) */
    bool is_private;      /* the caller hides from the callee */
    bool hides_callee;    /* it was sent on to a line that hides: the caller knows another number */
    enum naming naming;   /* of the last request that was sent */
    bool is_timed;        /* RFC 4028 may be asked for */
    uint64_t line;        /* has_line: whose count it is in */
    uint64_t callee_line; /* is_usage: whose phones may speak in it, 0: a gateway's */
    uint64_t callee_trunk; /* is_usage: that gateway's, 0: a line's, or of no trunk */
    uint64_t born_ms, ack_due_ms, usage_due_ms; /* mono */
    char id[TRACE_ID_MAX];
    struct side caller;
    struct hlink *dialogs;
    unsigned n_dialogs;
    struct ctx *setup;                /* context of the INVITE while it lives */
    struct trunk_use way_in, way_out; /* channels that it holds */
    struct call_forward *forward;     /* divert.h; NULL: it was not forwarded */
    char attest;                      /* of the token that it has: 'A' ...; '-': bad; 0: none */
    trace_ref trace;
    uint64_t number;                   /* of the worker's calls: part of the CDR's id */
    uint64_t start_us, answer_us;      /* wall; 0: did not happen */
    uint64_t caller_line, routed_line; /* 0: none */
    char *shown; /* the caller's name-addr for those who are shown it; NULL: nobody yet */
    struct own_answer *own; /* the gate itself answered (features.h); NULL: it did not */
    char *called_back;      /* *69: whom; NULL: nobody */
    char *to_shown;         /* the callee's, where it is not what was dialled; NULL: it is */
    const char *end_by;     /* literal; who asked for the end, NULL: nobody yet */
    struct loop_timer age;
    char route[CDR_TEXT_MAX];
    struct holding holding;
    bool is_routine;   /* without priority: emergency modes limit it (emergency_mode.h) */
    unsigned may_take; /* rank below which calls may be its victims; 0: it preempts nobody */
    char priority[PRIORITY_VALUE_MAX]; /* r-value that was granted; empty: none */
    enum preempted preempt_cause;
    char preempted_by[PREEMPT_BY_BYTES];
    struct displacing *displacing; /* displace.h; NULL: it waits for no victim */
    /* These stand in `texts`, which has just their size. */
    const char *call_id;
    const char *to_uri; /* of the INVITE: the callee's name in its dialogs */
    const char *caller_text, *called, *routed;
    char texts[];
};

struct call_start {
    const struct inbound *in;
    struct dialled dialled;
    struct view called;   /* digits as dialled */
    const char *caller;   /* verified number, or what is known of the source */
    uint64_t caller_line; /* 0: none */
    bool is_emergency, is_usage;
    bool is_call_back;              /* of a PSAP */
    const struct priority_ask *ask; /* what it asks and may; NULL: nothing */
    bool preempts;                  /* its sender may take others' places */
};

/* E_FULL: limit (not for emergency calls, whose reserve counts); E_NOMEM. */
MUST_CHECK enum err call_begin(struct worker *w, const struct call_start *s, struct call **out);
void call_hold(struct call *c);
void call_release(struct call *c); /* NULL is fine */
/* Writes CDR and trace, takes it out of the table. Twice is harmless. */
void call_end(struct call *c, unsigned status, const char *end_by);
void call_route(struct call *c, const char *route, uint64_t callee_line, const char *note);
/* By Call-ID and tags in either direction. out_dialog NULL when only the caller's tag fits (no To
 * tag, or one that is not known). */
struct call *call_find(struct worker *w, const struct sip_msg *m, struct dialog **out_dialog,
                       bool *out_from_caller);
struct call *call_by_id(struct worker *w, struct view id);
/* Of the worker's calls, live; NULL. */
struct call *call_of_number(struct worker *w, struct view call_id, uint64_t number);
/* Learns what a response to the INVITE says of the callee. NULL: no tag, or too many. */
struct dialog *call_dialog(struct call *c, const struct sip_msg *response, const struct leg *leg);
void call_answered(struct call *c, struct dialog *d);
void dialog_end(struct call *c, struct dialog *d, const char *end_by);

/* side.c */
/* Everything that a side's INVITE or response says; who is set. E_NOMEM: all stays as it was. uri:
 * of side_uri() or of a call. our_id: what our Record-Route names. */
MUST_CHECK enum err side_begin(struct side *s, struct view tag, struct view uri,
                               const struct sip_msg *m, const char *our_id);
/* From a request or response of that side: contact, number. */
void side_learn(struct side *s, const struct sip_msg *m);
MUST_CHECK enum err side_copy(struct side *dst, const struct side *src); /* dst: zero */
void side_fini(struct side *s);
/* The URI of From or To; empty when it is too long: half a URI is another URI. */
struct view side_uri(const struct sip_msg *m, enum sip_hdr_id id);
/* Puts a text with its NUL at *at and moves it behind; returns where it begins. */
const char *side_text(char **at, struct view v);

/* BYE both ways (answered), or CANCEL and 480. */
void call_terminate(struct call *c, const char *end_by, const char *reason);
/* ACK and BYE for a 2xx that nobody wants any more. */
void call_drop_answer(struct call *c, const struct leg *leg, const struct sip_msg *m,
                      const char *reason);
/* The session interval that a 2xx gave (RFC 4028 section 8.2), s; 0: none any more. */
void dialog_refreshed(struct call *c, struct dialog *d, unsigned interval_s);
void call_arm(struct call *c); /* after a deadline changed */
struct dialog *call_dialog_of_tag(const struct call *c, struct view tag);
/* The dialog of a 200 of our own to the request m. NULL: no memory. */
struct dialog *call_dialog_own(struct call *c, struct view tag, const struct sip_msg *m);
/* A dialog that the far end begins by a NOTIFY. */
struct dialog *call_dialog_by_request(struct call *c, const struct inbound *in);

/* A side as its response to our leg shows it; side_fini() ends it. E_NOMEM. */
MUST_CHECK enum err call_fill_callee(struct side *s, const struct call *c, const struct sip_msg *m,
                                     const struct leg *leg);
struct call *call_usage_of_tag(struct worker *w, struct view call_id, struct view caller_tag);
/* A usage with the two ends of that dialog. NULL: too many, or no memory. */
struct call *call_usage_from(const struct call *c, const struct dialog *d);

/* route_set.c */
/* Request-URI and Route of a request towards that side. */
void route_towards(const struct side *s, struct target *out);
/* Another way to a gateway than the one it used last: by its route set or contact, when that names
 * a gateway which we know. False: there is none. */
bool route_around(struct worker *w, const struct side *s, struct target *out);
/* Who and flow for a URI with the numeric address of a gateway that we know. */
bool route_to_gateway(struct worker *w, const struct sip_uri *uri, struct target *out);

/* usage.c: dialogs of SUBSCRIBE and REFER, held to their two ends as calls are */
/* E_FULL: too many of this worker or line; E_NOMEM. */
MUST_CHECK enum err usage_begin(struct worker *w, const struct inbound *in, uint64_t callee_line,
                                struct call **out);
/* A request or response of such a dialog went through: what it says of the subscription's end. */
void usage_learn(struct call *c, struct dialog *d, const struct sip_msg *m);
/* A NOTIFY that came before the answer to its SUBSCRIBE, or from a further phone. */
struct dialog *usage_of_notify(struct worker *w, const struct inbound *in, struct call **out);
/* The call of a dialog ends while a subscription in it goes on: that stays. */
void usage_outlive(struct call *c, const struct dialog *d);

/* Of phones whose credential was taken away (phone_is_good()). */
void calls_end_lost_phones(struct worker *w);
void calls_end_kid(struct worker *w, const uint8_t kid[BTI_KID_BYTES]);
/* BYE both ways, or CANCEL and 480; emergency calls excepted. */
void calls_end_all(struct worker *w);
void calls_free(struct worker *w); /* at the end of the worker: no CDRs get lost */

/* call_tell.c */
/* An event of the call; status and end_by: CALL_EVENT_ENDED only. */
void call_tell(const struct call *c, enum call_event_kind kind, unsigned status,
               const char *end_by);
void call_show_trunks(struct call *c); /* way_in or way_out changed */
void call_note_way(struct call *c);    /* routed_line, way_in or way_out changed */

/* Trace of a message of the call; c may be NULL. */
void call_trace_in(struct call *c, const struct inbound *in, const char *note);
void call_trace_out(struct call *c, const struct sip_flow *to, const struct party *who,
                    struct view raw, const char *note);

#endif
