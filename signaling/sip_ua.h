/* signaling/sip_ua.h - a small SIP user agent core for the BTI and for the provisioning server:
 * dialogs of calls as caller and callee (RFC 3261 sections 8, 12-15), REGISTER, OPTIONS, on sip_txn
 * and sip_transport.
 *
 * Sealing    every message that leaves passes cfg.seal (adds the BTI-MAC, or nothing); every
 * message that arrives passes cfg.check first (verifies the MAC and removes it from consideration;
 * E_OK, or the message is dropped). 2xx to INVITE and ACK to 2xx are sealed anew for each
 * retransmission (docs/protocol.md). Shape      a ua has one outbound proxy flow (BTI) or answers
 * on the flow of the request (PS). Offer/answer: the caller gives an SDP text with INVITE; the
 * callee gives one with the answer. re-INVITE in: answered with the last SDP (hold works by a=).
 * Reliability callee: 2xx repeated T1, doubling to T2, until ACK or 64*T1 (then BYE). Early:
 * 180/183 not reliable. Limits     max_calls (486 past it). Threads: the loop's. */
#ifndef SIGNALING_SIP_UA_H
#define SIGNALING_SIP_UA_H

#include "base/loop.h"
#include "signaling/sip_edit.h"
#include "signaling/sip_transport.h"
#include "signaling/sip_txn.h"

struct sip_ua;
struct sip_call;

enum sip_call_event {
    SIP_CALL_INCOMING,  /* m: the INVITE. Call sip_call_progress/answer/reject, now or later */
    SIP_CALL_PROGRESS,  /* caller: m is 101..199 */
    SIP_CALL_ANSWERED,  /* caller: m is the 2xx (ACK was sent); callee: ACK arrived (m: the ACK) */
    SIP_CALL_REJECTED,  /* caller: m is 3xx..6xx, or NULL with status 408/503 */
    SIP_CALL_CANCELLED, /* callee: CANCEL or caller gone before the answer */
    SIP_CALL_ENDED,     /* BYE from the peer (m), or our BYE is done (m NULL), or no ACK */
    SIP_CALL_MODIFIED,  /* re-INVITE/UPDATE with SDP: m */
    SIP_CALL_INFO       /* INFO in the dialog: answered 200 already */
};
typedef void sip_call_fn(void *arg, struct sip_call *c, enum sip_call_event ev, unsigned status,
                         const struct sip_msg *m);

struct sip_ua_cfg {
    const char *user;   /* in Contact and From */
    const char *domain; /* in From, To, Request-URI */
    const char *user_agent;
    const char *contact_ip_or_null; /* PS: address to show in Contact; else the flow's local one */
    unsigned max_calls;
    uint32_t t1_ms; /* 0: 500 */
    /* Adds what must be added before it leaves, in place. is_request/method tell which header to
     * use. NULL: nothing. */
    enum err (*seal)(void *arg, const struct sip_flow *to, char *buf, size_t buf_bytes, size_t *n);
    /* Verifies; *out_repeat: seen before (replay window). NULL: everything passes. */
    enum err (*check)(void *arg, const struct sip_flow *from, const struct sip_msg *m,
                      bool *out_repeat);
    sip_call_fn *on_call;
    /* Out-of-dialog request not handled by the core (MESSAGE, NOTIFY ...): return status to answer.
     * NULL: 501/405. */
    unsigned (*on_request)(void *arg, const struct sip_msg *m, const struct sip_flow *from);
    void *arg;
};

/* t: where its messages leave; feed it with sip_ua_rx() from the transport's on_rx. */
MUST_CHECK enum err sip_ua_new(struct loop *l, struct sip_transport *t,
                               const struct sip_ua_cfg *cfg, struct sip_ua **out);
/* Calls end silently: call sip_call_hangup first. From outside its callbacks. */
void sip_ua_free(struct sip_ua *ua);
void sip_ua_rx(struct sip_ua *ua, const struct sip_rx *rx);
void sip_ua_flow_lost(struct sip_ua *ua, const struct sip_flow *flow);
/* Calls whose connection died go on over this one. sip_ua_register() does it too. */
void sip_ua_adopt_flow(struct sip_ua *ua, const struct sip_flow *flow);
void sip_ua_set_user(struct sip_ua *ua, const char *user); /* after enrolment; copied */
size_t sip_ua_calls(const struct sip_ua *ua);

/* Caller. uri: "sip:611@domain". extra: whole header lines or empty. user_data: sip_call_data(). */
MUST_CHECK enum err sip_call_start(struct sip_ua *ua, const struct sip_flow *to, const char *uri,
                                   struct view sdp, struct view extra, void *data,
                                   struct sip_call **out);
/* Callee. */
MUST_CHECK enum err sip_call_progress(struct sip_call *c, unsigned status,
                                      struct view sdp_or_empty);
MUST_CHECK enum err sip_call_answer(struct sip_call *c, struct view sdp);
/* The call is over with its return: no event follows. E_STATE: not a ringing callee, or no status
 * of 300..699. */
MUST_CHECK enum err sip_call_reject(struct sip_call *c, unsigned status);
/* The same with Retry-After (RFC 3261 section 20.33). */
MUST_CHECK enum err sip_call_reject_for(struct sip_call *c, unsigned status, uint64_t seconds);
/* Either side, any state: CANCEL, 603 or BYE as the state asks. reason: text of a Reason header,
 * NULL none. REJECTED or ENDED follows later, never from inside it. */
void sip_call_hangup(struct sip_call *c, const char *reason_or_null);
void *sip_call_data(const struct sip_call *c);
void sip_call_set_data(struct sip_call *c, void *data);
struct view sip_call_id(const struct sip_call *c);
struct net_addr sip_call_local(const struct sip_call *c); /* our address on its flow, for SDP */
/* The call object dies after the callback of REJECTED, CANCELLED or ENDED returned, or with
 * sip_call_reject(). A call whose connection was lost goes on over the flow of the next REGISTER.
 */

/* One request outside dialogs (REGISTER, OPTIONS, MESSAGE). done: final response, or NULL with
 * 408/503. */
typedef void sip_reply_fn(void *arg, unsigned status, const struct sip_msg *m);
MUST_CHECK enum err sip_ua_register(struct sip_ua *ua, const struct sip_flow *to,
                                    uint32_t expires_s, sip_reply_fn *done, void *arg);
MUST_CHECK enum err sip_ua_request(struct sip_ua *ua, const struct sip_flow *to, const char *method,
                                   const char *uri, struct view extra, struct view content_type,
                                   struct view body, sip_reply_fn *done, void *arg);

#endif
