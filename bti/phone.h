/* bti/phone.h - what `call` and `listen` share: session, gate controller, SIP under the MAC.
 *
 * Use        phone_new() opens the store; phone_go() sees to a session and to the way to the gate
 * controller, then calls on_ready, or on_failed.
 * Proof      every message that leaves is sealed; what comes in without a good MAC is dropped, but
 * for a 401 or 407 to a request of ours: then p->challenged is true while the user agent reports
 * it. Without a session (phone_go_unproven: only for emergency numbers) nothing is sealed and
 * nothing is checked.
 * Emergency  with cfg.is_emergency and an option --gc no store is needed: without a usable one the
 * phone is unproven from the start, its number "anonymous" (RFC 3323) unless --from says another.
 * Sessions   one process, one session (bti/slot.h). A new one is asked for at 75..90 % of the
 * lifetime, when no call is up; the old one stays good for its connection until phone_retire().
 * Gates      those of the session, best first; TLS is one port above what UDP and TCP have.
 * Threads    the loop's. */
#ifndef BTI_PHONE_H
#define BTI_PHONE_H

#include "bti/fetch.h"
#include "bti/options.h"
#include "bti/slot.h"
#include "signaling/sip_ua.h"

struct phone;

struct phone_cfg {
    const struct options *o;
    const struct say *say;
    unsigned max_calls;
    bool is_emergency; /* messages without a MAC are taken: the gate may not know our session yet */
    void (*on_ready)(void *arg); /* also after a change of session: register again */
    void (*on_failed)(void *arg, enum bti_exit code, const char *why);
    void (*on_lost)(void *arg); /* the connection to the gate controller ended */
    sip_call_fn *on_call;
    void *arg;
};

struct phone {
    struct phone_cfg cfg;
    struct loop *loop;
    struct store *store; /* NULL: nobody's BTI, for an emergency call only */
    struct pki_root *root;
    struct net_addr local;
    struct tls_ctx *tls;
    struct sip_transport *transport;
    struct sip_ua *ua;
    struct slot slot;
    struct session *session, *old;
    struct sip_flow flow, old_flow;
    enum sip_proto proto; /* of the flow; differs from the option only when unproven */
    bool has_flow, has_old_flow, unproven;
    bool going;          /* phone_go() is under way */
    enum sip_proto told; /* what the port of an option --gc is meant for */
    size_t gate;         /* index of the gate controller in use */
    struct fetch *fetch; /* a session is being asked for */
    struct loop_timer ready, renew;
    enum err lost_why;    /* E_AUTH: TLS did not take our session */
    bool challenged;      /* see above */
    bool heard;           /* a message with a good MAC came since phone_go() */
    uint64_t dropped;     /* messages that proved nothing */
    uint64_t renewed_ms;  /* when the session was last replaced; 0 never */
    unsigned fresh_tries; /* with a session that new */
    char number[NUMBER_MAX];
    char domain[STORE_NAME_MAX];
};

/* Says what is wrong; *out_code is then the exit code. */
MUST_CHECK enum err phone_new(struct loop *l, const struct phone_cfg *cfg, struct phone **out,
                              enum bti_exit *out_code);
void phone_free(struct phone *p); /* keeps the session for the next run */
void phone_go(struct phone *p);
void phone_go_unproven(struct phone *p); /* from then on, until a session is had */
/* The gate controller does not take our session: on_ready follows, under a new one (true), or, when
 * ours is so new that it may still be on its way to the gate controller, under the same. */
bool phone_new_session(struct phone *p);
bool phone_has_next_gate(const struct phone *p);
bool phone_next_gate(struct phone *p); /* false: that was the last; the first comes again */
void phone_retire(struct phone *p);    /* the old session and its connection */
void phone_gate_text(const struct phone *p, char out[NET_TEXT_MAX]);
bool phone_keys_allowed(const struct phone *p); /* media keys: only over TLS */

/* For people. */
const char *phone_status_text(unsigned status);
enum bti_exit phone_status_exit(unsigned status);

/* The port that a transport has at a gate controller told as address:port. */
MUST_CHECK enum err phone_gate_address(const char *gate, enum sip_proto proto,
                                       struct net_addr *out);

#endif
