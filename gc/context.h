/* gc/context.h - the response context of one proxied request (RFC 3261 section 16), INVITE or not.
 *
 * Shape      a server transaction, targets, one leg for each target that was tried. Parallel: all
 *            at once, first 2xx wins, the others get CANCEL, else the best response (16.7). Serial:
 *            the next one on 503, timeout, transport error, or when one stays silent.
 * Ownership  counted: one for the server transaction, one for each leg. The context keeps a copy of
 *            its request.
 * Threads    the worker's. */
#ifndef GC_CONTEXT_H
#define GC_CONTEXT_H

#include "gc/call.h"
#include "gc/identity.h"
#include "gc/session_timer.h"
#include "gc/stir_verdict.h"

enum ctx_kind {
    CTX_SETUP,  /* INVITE that makes a call */
    CTX_USAGE,  /* SUBSCRIBE or REFER that makes a dialog of its own */
    CTX_DIALOG, /* inside a call, or inside such a dialog */
    CTX_PAGE    /* alone */
};

struct ctx {
    struct worker *w;
    struct hlink by_fingerprint; /* CTX_SETUP */
    enum ctx_kind kind;
    enum sip_method method;
    struct sip_stxn *stxn; /* NULL: over */
    struct call *call;     /* a reference; NULL: CTX_PAGE */
    struct party from;
    struct sip_flow from_flow;
    uint64_t fingerprint, at_us;
    bool is_parallel, is_cancelled, is_answered, is_acked, is_final, is_datagram;
    bool is_announced;
    bool is_emergency, is_provisioning;
    bool from_caller;         /* CTX_DIALOG */
    unsigned forced;          /* final status that was decided here, 0: none */
    char callee_tag[TAG_MAX]; /* CTX_DIALOG */
    struct identity id;       /* of who asks; CTX_DIALOG: not used, its dialog knows */
    bool had_to_tag;
    char *names; /* From NUL To, as the sender wrote them, when others went on; NULL */
    struct session_timer timer;
    struct stir_verdict stir; /* CTX_SETUP of a trunk */
    bool has_verdict;
    uint64_t stir_due_ms;   /* mono: it waits for a certificate no longer; 0: it has not yet */
    unsigned patience_ms;   /* serial: silence after which the next one is tried; 0: none */
    struct loop_timer ring; /* parallel: when it is the turn of the next preference */
    struct divert *divert;  /* divert.c: of a line that forwards; NULL: none */
    unsigned n_targets, next, n_pending;
    unsigned n_full;       /* targets left out because their trunk or route takes no more calls */
    struct target *target; /* TARGETS_MAX of them */
    struct hlink *legs;
    unsigned refs;
    unsigned best_status;
    char *best; /* the octets of the best response, when it was one of a peer */
    size_t best_n;
    struct party best_from;
    struct sip_flow best_flow;
    struct challenges *more; /* of further 401 and 407; NULL: none */
    size_t raw_n;
    char *raw; /* the request; with targets and best gone once the final response is out, since a
                  context lives on for 32 s and more */
};

/* Makes context and server transaction; the caller then sets targets and runs it. E_FULL, E_NOMEM:
 * nothing was made. call: a reference is taken. */
MUST_CHECK enum err ctx_new(struct worker *w, const struct inbound *in, enum ctx_kind kind,
                            struct call *call, struct ctx **out);
/* Sends to the first target(s). `in` still holds its request. */
void ctx_run(struct ctx *c, const struct sip_msg *m);
/* 200 to an INVITE that the gate answers itself: n octets in w->out, sealed. */
void ctx_answer(struct ctx *c, size_t n);
/* Ends it by a response of ours. */
void ctx_refuse(struct ctx *c, unsigned status, const char *reason, struct view extra);
/* 100 Trying, at once. */
void ctx_trying(struct ctx *c, const struct sip_msg *m);
/* The request into the call's trace, and 100 Trying: once, whoever asks for it first. Before a
 * context is parked, so that its sender does not ask again. */
void ctx_announce(struct ctx *c, const struct inbound *in, const char *note);
/* CANCEL came, or the gate wants it: forced is the status to send up (0: as it comes). */
void ctx_cancel(struct ctx *c, unsigned forced);
void cancel_in(struct worker *w, const struct inbound *in, struct sip_stxn *invite);
void ctx_release(struct ctx *c);
/* 100 of a non-INVITE that takes long (RFC 4320 section 4.1). */
void ctx_slow(struct ctx *c);
void ctx_leg_event(struct ctx *c, struct leg *l, enum txn_event ev, const struct sip_msg *m);
struct dialog *ctx_dialog(const struct ctx *c); /* CTX_DIALOG: its dialog; NULL: it ended */
struct ctx *ctx_of_fingerprint(struct worker *w, uint64_t fingerprint);

/* Forwards a response upwards; settle() is the caller's. */
MUST_CHECK enum err ctx_pass_up(struct ctx *c, const struct sip_msg *m, const struct party *from,
                                const struct sip_flow *from_flow);
/* The final response is out: what that means for the call. */
void ctx_settle(struct ctx *c, unsigned status);

enum err ctx_reframe(const struct ctx *c, struct sip_msg *out); /* the request again */
/* To the next target. False: it could not be sent; noted. */
bool ctx_launch(struct ctx *c, const struct sip_msg *m, unsigned breadth);

/* fork.c */
/* Whether the first targets can share the Max-Breadth that came in; if not: 440. */
bool fork_fits(const struct ctx *c, const struct sip_msg *m);
/* Whether one request more may leave while those under way still end. */
bool fork_can_add(const struct ctx *c, const struct sip_msg *m);
/* The next target, or the next of one preference, that can be reached. Without breadth for all of
 * them as many as there is breadth for; without any it waits for what is under way. */
void fork_next(struct ctx *c, const struct sip_msg *m);

/* best.c: RFC 3261 section 16.7, steps 4 to 7 */
/* Whether a Via stands below ours: else the response is for nobody. */
bool best_has_next_via(const struct sip_msg *m);
/* Of a leg that is over without 2xx. m NULL: no response, or not one to pass on. */
void best_note(struct ctx *c, unsigned status, const struct sip_msg *m, const struct leg *l);
void best_forget(struct ctx *c); /* the call goes elsewhere: what was said here does not count */
/* What goes up when nobody answered with 2xx. */
void best_send(struct ctx *c);
/* The status that counts for a final response of that leg: what is none of the caller's business,
 * or would move the call elsewhere, becomes another one. */
unsigned best_status_of(const struct leg *l, unsigned status);
/* Contacts of a 3xx that may be tried: added to the targets. Returns how many. */
unsigned best_add_redirects(struct ctx *c, const struct leg *l, const struct sip_msg *m);

void response_in(struct worker *w, struct inbound *in);

/* Legs without a context: a BYE of ours, a ping. w->out holds the message. */
/* m: what is forwarded, for the loop part of the branch; NULL: a request of our own. */
struct leg *leg_new(struct worker *w, enum leg_kind kind, const struct party *who,
                    const struct sip_msg *m);
/* On failure the leg is gone. */
MUST_CHECK enum err leg_send(struct leg *l, const struct sip_flow *to, struct view octets);
void leg_abandon(struct leg *l); /* never sent */
void leg_cancel(struct leg *l,
                const char *reason); /* reason: value of a Reason header, NULL none */

/* A trunk asked for a password for a BYE of ours: once more with it. */
void call_prove_bye(const struct leg *asked, const struct sip_msg *challenge);

extern const struct sip_txn_ops context_txn_ops;

#endif
