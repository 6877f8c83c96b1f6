/* signaling/sip_txn.h - the transaction layer (RFC 3261 section 17, RFC 6026, RFC 4320), our own:
 * client and server, INVITE and non-INVITE, timers A B C D E F G H I J K L M. The same code in
 * proxy, PS and BTI.
 *
 * Shape      a layer for each loop. Octets in and out are whole messages, already sealed (MAC) when
 * they must be; the layer keeps the exact octets for retransmission. One kind of message it makes
 *            itself: the ACK for a non-2xx final response, handed to ops.seal before it leaves.
 * Server     match by top Via branch + sent-by + method (ACK, CANCEL -> INVITE; RFC 2543 branches
 * match by the section 17.2.3 rules). A retransmission is absorbed and the last response is sent
 * again. Replay     `fingerprint` is a keyed hash of the raw octets. When the receiver's replay
 * window has seen the message before (is_repeat), it is absorbed only if a live transaction has
 * these same octets; otherwise E_REPLAY: drop it (docs/protocol.md, "replay"). Client     responses
 * go up once each (100 and retransmitted non-2xx finals are absorbed); 2xx to INVITE go up every
 *            time (Accepted state, timer M); timeout = 408 event, transport error = 503 event.
 * Timer C    for client INVITE transactions made with .timer_c: restarted by each 101..199; when it
 * fires the user gets TXN_TIMER_C and decides (CANCEL, or treat as 408). Limits
 * cfg.max_transactions: new server transactions past it give E_FULL (caller answers 503
 * statelessly). Ownership  handles are valid until on_gone (client) / on_gone (server) was called;
 * after that never touched again. Nothing is freed inside a callback; reaping is at the end of the
 * turn. Threads    one loop, one thread. */
#ifndef SIGNALING_SIP_TXN_H
#define SIGNALING_SIP_TXN_H

#include "base/loop.h"
#include "signaling/sip_flow.h"
#include "signaling/sip_msg.h"

struct sip_txn_layer;
struct sip_stxn; /* server transaction */
struct sip_ctxn; /* client transaction */

enum txn_event {
    TXN_RESPONSE,  /* m is valid */
    TXN_TIMEOUT,   /* timer B or F */
    TXN_TRANSPORT, /* could not be sent, connection lost */
    TXN_TIMER_C
};

typedef void sip_ctxn_fn(void *user, struct sip_ctxn *t, enum txn_event ev, const struct sip_msg *m,
                         const struct sip_flow *from);

struct sip_txn_ops {
    /* E_OK, or anything else = transport error. */
    enum err (*send)(void *arg, const struct sip_flow *to, struct view octets);
    /* Completes a hop-by-hop ACK in place (adds the MAC). NULL: sent as built. */
    enum err (*seal)(void *arg, void *client_user, const struct sip_flow *to, char *buf,
                     size_t buf_bytes, size_t *n);
    /* The user of a transaction may forget it now. Either may be NULL. */
    void (*stxn_gone)(void *arg, void *user);
    void (*ctxn_gone)(void *arg, void *user);
    /* A final response was not acknowledged (timer H) - counted by the user. NULL is fine. */
    void (*stxn_timeout)(void *arg, void *user);
    /* A non-INVITE has no response yet, and the client's timer E has reached T2: 100 is due now
     * (RFC 4320 section 4.1). NULL: none is sent. */
    void (*stxn_slow)(void *arg, void *user);
};

struct sip_txn_cfg {
    uint32_t t1_ms, t2_ms, t4_ms; /* 0: 500, 4000, 5000 */
    uint32_t timer_c_ms;          /* 0: 185000 */
    unsigned max_transactions;    /* 0: no limit */
};

MUST_CHECK enum err sip_txn_layer_new(struct loop *l, const struct sip_txn_cfg *cfg,
                                      const struct sip_txn_ops *ops, void *arg,
                                      struct sip_txn_layer **out);
void sip_txn_layer_free(struct sip_txn_layer *l); /* drops all, calls *_gone */

/* ---- requests in ------------------------------------------------------------------------------
 */
enum txn_verdict {
    TXN_ABSORBED, /* retransmission or hop-by-hop ACK: done */
    TXN_NEW,      /* no transaction: the user decides (sip_stxn_new, or ACK for a 2xx: forward) */
    TXN_CANCEL    /* a CANCEL whose INVITE is *out_invite (NULL: none, 481) */
};
/* E_REPLAY: see above. */
MUST_CHECK enum err sip_txn_request(struct sip_txn_layer *l, const struct sip_msg *m,
                                    const struct sip_flow *from, uint64_t fingerprint,
                                    bool is_repeat, enum txn_verdict *out,
                                    struct sip_stxn **out_invite);
/* E_FULL, E_NOMEM. Responses will go back over `from` (RFC 3261 18.2.2, 3581: the source address).
 */
MUST_CHECK enum err sip_stxn_new(struct sip_txn_layer *l, const struct sip_msg *m,
                                 const struct sip_flow *from, uint64_t fingerprint, void *user,
                                 struct sip_stxn **out);
/* Sends and keeps the response. E_STATE: a final one was sent already (2xx to INVITE excepted: sent
 * on, not kept: RFC 6026). E_DENIED: RFC 4320 forbids it for a non-INVITE: 408, 101..199, and 100
 * on UDP before the client's timer E has reached T2; a non-INVITE that nobody answers ends silently
 * after 64*T1. The transport's error: it was kept, and is sent again with the next retransmission.
 */
MUST_CHECK enum err sip_stxn_respond(struct sip_stxn *t, unsigned status, struct view octets);
/* Ends it without an answer: nothing could be built or sealed. stxn_gone follows. */
void sip_stxn_abandon(struct sip_stxn *t);
void *sip_stxn_user(const struct sip_stxn *t);
bool sip_stxn_is_final(const struct sip_stxn *t); /* a final response was sent */
const struct sip_flow *sip_stxn_flow(const struct sip_stxn *t);

/* ---- responses in ------------------------------------------------------------------------------
 */
/* Matches by top Via branch and CSeq method. E_NOTFOUND: no transaction: drop (RFC 6026
 * section 8.9). E_REPLAY: is_repeat, and not the same octets as the last response of its
 * transaction. */
MUST_CHECK enum err sip_txn_response(struct sip_txn_layer *l, const struct sip_msg *m,
                                     const struct sip_flow *from, uint64_t fingerprint,
                                     bool is_repeat);

/* ---- requests out ------------------------------------------------------------------------------
 */
struct sip_ctxn_cfg {
    struct sip_flow to;
    struct view octets; /* sealed; copied */
    bool timer_c;
    sip_ctxn_fn *fn;
    void *user;
};
/* E_PARSE, E_EXISTS (branch in use), E_NOMEM, or the transport's error: then there is no
 * transaction, and neither fn nor ctxn_gone will be called. */
MUST_CHECK enum err sip_ctxn_new(struct sip_txn_layer *l, const struct sip_ctxn_cfg *cfg,
                                 struct sip_ctxn **out);
/* The request as it was sent, framed (for CANCEL). Valid while the transaction lives and has no 2xx
 * to an INVITE. NULL: that, or out of memory. */
const struct sip_msg *sip_ctxn_request(const struct sip_ctxn *t);
const struct sip_flow *sip_ctxn_flow(const struct sip_ctxn *t);
/* A CANCEL may leave only after a provisional response, 100 (which does not go up) included (RFC
 * 3261 9.1). fn is called once: at once when there was one, else when the first one comes; never
 * when a final response comes first. */
void sip_ctxn_when_provisional(struct sip_ctxn *t, void (*fn)(void *user, struct sip_ctxn *t));
/* Timer C does not matter any more / INVITE was cancelled: give it 64*T1 more, then TXN_TIMEOUT
 * (RFC 3261 9.1). */
void sip_ctxn_cancelled(struct sip_ctxn *t);
void sip_ctxn_orphan(struct sip_ctxn *t); /* no more callbacks but ctxn_gone */
/* Connection lost: transactions waiting on that flow get TXN_TRANSPORT. */
void sip_txn_flow_lost(struct sip_txn_layer *l, const struct sip_flow *flow);

size_t sip_txn_count(const struct sip_txn_layer *l);
uint64_t sip_fingerprint(const struct sip_txn_layer *l, struct view raw);
/* "z9hG4bK" + 20 random characters. */
#define SIP_BRANCH_MAX 48
MUST_CHECK enum err sip_branch(char out[SIP_BRANCH_MAX]);

#endif
