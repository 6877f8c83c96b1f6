/* signaling/sip_txn_int.h - what the files of the transaction layer share; nobody else includes it.
 *
 * Identity   a transaction is known by two independent keyed hashes of the fields that its matching
 * rule names: 128 bits that nobody outside can aim at, instead of a copy of the fields.
 * Timers     each transaction owns one running loop timer from its creation to its end, set to the
 * nearer of `again_ms` (retransmission, RFC 4320's 100) and `end_ms` (end of the state). Moving a
 * running timer never needs memory, so after creation no step can fail for lack of it. Death
 * txn_bury() takes it out of the tables at once; memory and *_gone wait for the end of the turn. */
#ifndef SIGNALING_SIP_TXN_INT_H
#define SIGNALING_SIP_TXN_INT_H

#include "signaling/sip_txn.h"

enum txn_state {
    TXN_CALLING, /* INVITE client; all others begin in Trying */
    TXN_TRYING,
    TXN_PROCEEDING,
    TXN_COMPLETED,
    TXN_CONFIRMED,
    TXN_ACCEPTED /* RFC 6026 */
};

struct txn_id {
    uint64_t a, b;
};

struct txn_link { /* a place in one bucket */
    struct txn_link *next, **at;
    uint64_t hash;
};

struct txn_table {
    struct txn_link **bucket;
    size_t buckets, n;
};

struct txn { /* what both kinds begin with */
    struct sip_txn_layer *layer;
    struct txn_link by_id;
    uint64_t id_b;
    struct txn *next_dead;
    struct sip_flow flow;
    void *user;
    struct loop_timer timer;
    uint64_t again_ms, end_ms; /* 0: not set */
    uint64_t gap_ms;           /* interval before again_ms */
    enum txn_state state;
    bool is_server, is_invite, is_reliable, is_dead;
};

struct sip_stxn {
    struct txn t;
    uint64_t fingerprint;     /* of the request */
    uint64_t ack_fingerprint; /* of the ACK that was absorbed */
    uint64_t born_ms;
    bool is_old; /* RFC 2543 branch */
    bool is_final;
    size_t kept_n; /* the response to send again: in `big` when there is one, else in `tail` */
    char *big;     /* own block: of an INVITE, gone with its 2xx; of what is longer than the tail */
    size_t big_max, tail_max, big_least;
    char tail[];
};

struct sip_ctxn {
    struct txn t;
    struct sip_ctxn *self; /* for lazy framing behind a const handle */
    struct txn_link by_conn;
    struct sip_ctxn *next_lost;                             /* during sip_txn_flow_lost() */
    sip_ctxn_fn *fn;                                        /* NULL: orphan */
    void (*on_provisional)(void *user, struct sip_ctxn *t); /* NULL: nobody waits */
    struct sip_msg *framed;                                 /* made when first asked for */
    char *ack; /* sealed ACK of a non-2xx final; own block */
    size_t ack_n;
    uint64_t last_fingerprint; /* of the last response that was taken */
    uint64_t timer_c_due_ms;
    bool has_last, with_timer_c, is_cancelled;
    size_t n;
    char *octets; /* of an INVITE an own block, gone with its 2xx (NULL); else `tail` */
    char tail[];
};

struct sip_txn_layer {
    struct loop *loop;
    struct sip_txn_ops ops;
    void *arg;
    uint64_t t1_ms, t2_ms, t4_ms, timer_c_ms;
    unsigned max_transactions;
    uint8_t key_a[16], key_b[16];
    struct txn_table server, client, by_conn;
    struct txn *dead;
    struct loop_hook reaper;
    unsigned depth; /* callbacks under way */
};

/* ---- tables ------------------------------------------------------------------------------------
 */
MUST_CHECK enum err txn_table_init(struct txn_table *t);
void txn_table_fini(struct txn_table *t);
void txn_table_put(struct txn_table *t, struct txn_link *link, uint64_t hash);
void txn_table_drop(struct txn_table *t, struct txn_link *link);
struct txn_link *txn_table_first(const struct txn_table *t, uint64_t hash); /* of its bucket */

/* ---- identities --------------------------------------------------------------------------------
 */
#define TXN_KEY_MAX 1280
struct txn_key {
    size_t n;
    char b[TXN_KEY_MAX];
};
void txn_key_add(struct txn_key *k, struct view field, bool lower_case);
void txn_key_add_hash(const struct sip_txn_layer *l, struct txn_key *k, struct view field);
struct txn_id txn_key_id(const struct sip_txn_layer *l, const struct txn_key *k);
struct txn *txn_find(const struct txn_table *t, const struct txn_id *id);

/* ---- life --------------------------------------------------------------------------------------
 */
/* Enters the table and starts the timer: E_NOMEM, then nothing has happened. */
MUST_CHECK enum err txn_begin(struct txn *t, struct txn_table *table, const struct txn_id *id);
void txn_arm(struct txn *t); /* after again_ms or end_ms changed */
void txn_bury(struct txn *t);
uint64_t txn_now(const struct txn *t);
MUST_CHECK enum err txn_send(const struct txn *t, struct view octets);

void stxn_on_end(struct sip_stxn *s);
void stxn_on_again(struct sip_stxn *s);
void stxn_free(struct sip_stxn *s);
void ctxn_on_end(struct sip_ctxn *c);
void ctxn_on_again(struct sip_ctxn *c);
void ctxn_unlink(struct sip_ctxn *c);
void ctxn_free(struct sip_ctxn *c);

#endif
