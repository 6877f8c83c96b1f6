/* signaling/sip_ua_int.h - what the files of the user agent share; nobody else includes it.
 *
 * sip_ua.c core: messages in; sip_ua_out.c messages out, REGISTER and the like; sip_call.c,
 * sip_caller.c, sip_callee.c calls; sip_dialog.c dialog state and the requests inside; sip_ua_sdp.c
 * the answer to a re-INVITE.
 * Lifetimes  a call outlives its end until the last transaction that points at it is gone: a 2xx
 * that comes again after the BYE must still get its ACK. Freed at the end of a turn, never inside a
 * callback. */
#ifndef SIGNALING_SIP_UA_INT_H
#define SIGNALING_SIP_UA_INT_H

#include "signaling/sip_ua.h"

#define UA_TAG_MAX   17
#define UA_FORKS     8
#define UA_REASON    96
#define UA_T1_MS     500
#define UA_T2_MS     4000
#define UA_EXTRA_MAX 1024
#define UA_ALLOW     "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE\r\n"
#define UA_ACCEPT    "Accept: application/sdp\r\n"

struct ua_req;
typedef void ua_req_fn(struct ua_req *r, enum txn_event ev, const struct sip_msg *m);

struct ua_req { /* behind one client transaction; freed when that is gone */
    struct sip_ua *ua;
    struct sip_call *call; /* NULL: outside calls */
    struct sip_ctxn *txn;
    ua_req_fn *fn;
    sip_reply_fn *done; /* outside calls */
    void *arg;
};

struct ua_invite { /* behind one INVITE server transaction; freed when that is gone */
    struct sip_call *call;
    struct sip_stxn *txn;
};

struct dialog {
    uint32_t local_cseq, remote_cseq;
    bool has_remote_cseq;
    char remote_tag[129];
    char target[SIP_MAX_URI + 1];
    char *local_party, *remote_party; /* From and To of our requests, tags included */
    char *routes;                     /* whole Route lines */
};

enum call_state {
    CALL_CALLING, /* caller: no final response */
    CALL_RINGING, /* callee: none given */
    CALL_UP,      /* answered; `ok` tells whether our 2xx waits for its ACK */
    CALL_ENDING,  /* BYE is out, or the end is told at the end of this turn */
    CALL_DEAD
};

struct sip_call {
    struct sip_ua *ua;
    struct sip_call *next; /* of its bucket */
    struct sip_call *next_late, *next_dead;
    void *data;
    enum call_state state;
    unsigned refs;   /* ua_req and ua_invite that point here */
    bool has_dialog; /* caller: by a 2xx */
    bool has_responded, wants_hangup, has_timed_out, is_late, is_flow_lost;
    struct sip_flow flow;
    char reason[UA_REASON]; /* for CANCEL or BYE; empty: none */
    uint64_t retry_after_s; /* of a refusal; 0: nothing is said of it */
    char call_id[SIP_MAX_CALL_ID + 1], local_tag[UA_TAG_MAX];
    struct dialog d;
    uint32_t invite_cseq;
    struct ua_req *invite;      /* caller: ours; NULL when its transaction is gone */
    unsigned n_forks;           /* other answers to a forked INVITE: acknowledged, then ended */
    uint64_t fork[UA_FORKS];    /* hashes of their tags */
    struct ua_invite *incoming; /* callee: the INVITE under way, or the last one */
    char *request;              /* callee: its octets, until the final response */
    size_t request_n;
    char *ok; /* unsealed 2xx that waits for its ACK */
    size_t ok_n;
    uint32_t ok_cseq;
    uint64_t ok_gap_ms, ok_end_ms;
    struct loop_timer timer; /* of ok */
    char *sdp;               /* the last one that the user gave */
    size_t sdp_n;
    uint32_t sdp_shape;    /* what the peer was told last: directions and refused media */
    uint32_t sdp_changes;  /* added to the version of o= */
    unsigned ended_status; /* for the late end */
};

struct sip_ua {
    struct loop *loop;
    struct sip_transport *transport;
    struct sip_txn_layer *layer;
    struct sip_ua_cfg cfg; /* its texts are copies */
    char *user, *domain, *agent, *contact_ip;
    char register_id[33], register_tag[UA_TAG_MAX];
    uint32_t register_cseq;
    uint8_t key[16];
    struct sip_call **bucket;
    size_t buckets, n_calls;
    struct sip_call *late, *dead;
    struct loop_hook turn_end;
};

/* ---- sip_ua_out.c ------------------------------------------------------------------------------
 */
struct ua_head { /* a request to build */
    const char *method;
    struct view uri, from, to, call_id, routes;
    uint32_t cseq;
    bool with_contact;
    struct view extra, type, body;
};
/* Builds and seals. */
MUST_CHECK enum err ua_build(const struct sip_ua *ua, const struct sip_flow *to,
                             const struct ua_head *h, char buf[SIP_MAX_BYTES], size_t *out_n);
/* ... and sends it in a transaction. call may be NULL. */
MUST_CHECK enum err ua_start(struct sip_ua *ua, const struct sip_flow *to, const struct ua_head *h,
                             struct sip_call *call, ua_req_fn *fn, struct ua_req **out);
MUST_CHECK enum err ua_start_octets(struct sip_ua *ua, const struct sip_flow *to,
                                    struct view octets, struct sip_call *call, ua_req_fn *fn,
                                    struct ua_req **out);

struct ua_answer { /* a response to build */
    unsigned status;
    struct view to_tag, extra, type, body;
};
/* Not sealed yet. */
MUST_CHECK enum err ua_response(const struct sip_ua *ua, const struct sip_msg *m,
                                const struct sip_flow *to, const struct ua_answer *a,
                                char buf[SIP_MAX_BYTES], size_t *out_n);
MUST_CHECK enum err ua_seal(const struct sip_ua *ua, const struct sip_flow *to, char *buf,
                            size_t *n);
/* t NULL: without state. Whatever fails, t is not left without an answer or an end. */
void ua_answer(const struct sip_ua *ua, struct sip_stxn *t, const struct sip_msg *m,
               const struct sip_flow *to, const struct ua_answer *a);
void ua_answer_status(const struct sip_ua *ua, struct sip_stxn *t, const struct sip_msg *m,
                      const struct sip_flow *to, unsigned status);
void ua_put_contact(const struct sip_ua *ua, const struct sip_flow *flow, struct sip_text *t);
MUST_CHECK enum err ua_tag(char out[UA_TAG_MAX]);
/* Extensions that are asked for: none is known. */
void ua_answer_420(const struct sip_ua *ua, struct sip_stxn *t, const struct sip_msg *m,
                   const struct sip_flow *to);

/* ---- sip_ua.c ----------------------------------------------------------------------------------
 */
/* 0, or the status that refuses the body of an INVITE or UPDATE; it has been answered then. */
unsigned ua_refuse_body(const struct sip_ua *ua, struct sip_stxn *t, const struct sip_msg *m,
                        const struct sip_flow *to);
uint64_t ua_hash(const struct sip_ua *ua, struct view v);
/* Calls whose connection died go on over the one that we register with next. */

/* ---- sip_dialog.c ------------------------------------------------------------------------------
 */
/* E_PARSE: no usable Contact or Record-Route. */
MUST_CHECK enum err dialog_of_request(struct dialog *d, const struct sip_msg *invite,
                                      const char *local_tag);
/* E_PARSE: no usable Contact; the rest was taken and the target is as before. */
MUST_CHECK enum err dialog_of_response(struct dialog *d, const struct sip_msg *ok);
/* The peer's Contact, when it has one and it is usable. */
void dialog_refresh(struct dialog *d, const struct sip_msg *m);
void dialog_fini(struct dialog *d);
MUST_CHECK enum err dialog_send_ack(const struct sip_call *c, const struct dialog *d);
MUST_CHECK enum err dialog_send_bye(struct sip_call *c, struct dialog *d, ua_req_fn *fn,
                                    bool is_fork);

/* ---- sip_call.c and its sides
 * --------------------------------------------------------------------------------
 */
struct sip_call *call_find(const struct sip_ua *ua, const struct sip_msg *m);
bool call_is_merged(const struct sip_ua *ua, const struct sip_msg *m);
void call_incoming(struct sip_ua *ua, struct ua_invite *i, const struct sip_msg *m,
                   const struct sip_flow *from);
/* A request inside its dialog; i only for INVITE. */
void call_request(struct sip_call *c, struct sip_stxn *t, struct ua_invite *i,
                  const struct sip_msg *m, const struct sip_flow *from);
void call_ack(struct sip_call *c, const struct sip_msg *m);
void call_cancel(struct sip_call *c, const struct sip_msg *m); /* its INVITE was not answered */
void call_flow_lost(struct sip_call *c);
void call_release(struct sip_call *c); /* one of refs is gone */
void call_reap(struct sip_ua *ua);
void call_free(struct sip_call *c);

MUST_CHECK enum err call_new(struct sip_ua *ua, const struct sip_flow *flow, struct sip_call **out);
void call_enter(struct sip_call *c); /* call_id is set */
void call_tell(struct sip_call *c, enum sip_call_event ev, unsigned status,
               const struct sip_msg *m);
void call_bury(struct sip_call *c); /* without a word */
void call_end(struct sip_call *c, enum sip_call_event ev, unsigned status, const struct sip_msg *m);
void call_end_late(struct sip_call *c, unsigned status); /* ENDED, at the end of the turn */
void call_drop_ok(struct sip_call *c);
void call_drop_request(struct sip_call *c);
MUST_CHECK enum err call_keep_sdp(struct sip_call *c, struct view sdp);
void call_say_bye(struct sip_call *c);
/* sip_caller.c */
void call_send_cancel(struct sip_call *c); /* as soon as it may leave */
/* sip_callee.c: a refusal of the INVITE under way. Whatever fails, its transaction ends. */
void call_refuse(struct sip_call *c, unsigned status);

/* ---- sip_ua_sdp.c ------------------------------------------------------------------------------
 */
/* Our last SDP as answer to a new offer (RFC 3264 section 6.1): directions turned round, refused
 * media refused. Empty offer: our SDP as it was given. E_NOTFOUND: not the same media: 488.
 * *shape, *changes: see struct sip_call. */
MUST_CHECK enum err ua_sdp_again(struct view mine, struct view offer, uint32_t *shape,
                                 uint32_t *changes, char *dst, size_t dst_bytes, size_t *out_n);
uint32_t ua_sdp_shape(struct view mine);

#endif
