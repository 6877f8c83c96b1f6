/* lawful_intercept/calls_int.h - what the files that follow calls share: calls.c (the table),
 * match.c (which orders concern whom), call_media.c (session descriptions), events.c and
 * transfer.c (what is told), copies.c (SIP for X2, and what is no call), li_kept.c (what a later
 * run must know). */
#ifndef LAWFUL_INTERCEPT_CALLS_INT_H
#define LAWFUL_INTERCEPT_CALLS_INT_H

#include "base/crypto.h"
#include "base/hlist.h"
#include "lawful_intercept/calls.h"
#include "lawful_intercept/message.h"

enum {
    LI_ID_BYTES = 20, /* of headgate's ids: 16 characters */
    LI_TEXT_BYTES = 64,
    LI_SEEN = 16,           /* hashes of the last messages of a call */
    LI_SEEN_OUTSIDE = 4096, /* of messages outside of calls */
    LI_FORKS = 16,          /* early dialogs of one call: headgate has no more (DIALOGS_MAX) */
    LI_REFERRALS = 64,      /* transfers that are under way */
    LI_OVER_S = 40,         /* what crosses the end of a call still belongs to it: 64*T1 and more */
    LI_REFERRAL_S = 180,
    LI_AGE_S = 12 * 3600 + 600 /* no call of headgate lives for longer */
};

enum li_side { LI_CALLER, LI_CALLEE, LI_SIDES };
enum li_role {
    LI_ORIGINATES = 1,
    LI_TERMINATES = 2,
    LI_TRANSFERRED = 4 /* the subject sent its other end into this call, and is not in it */
};

struct li_sdp {
    char *p; /* owned; wiped when it goes: media keys */
    size_t n;
};

struct li_leg { /* a call as one order sees it */
    uint64_t order;
    enum li_role role;
    uint64_t line, trunk; /* the subject, as it was matched */
    bool is_open;         /* CCOpen was said */
    bool is_away;         /* the call went on to somebody else, or never reached the subject */
    char content[9];
};

struct li_side_state {
    uint64_t line, trunk;
    bool is_stranger; /* who proved nothing: emergency calls and those for provisioning */
    char number[LI_TEXT_BYTES];
    char uri[LI_URI_MAX]; /* of somebody outside: user@host; empty: not known */
    struct net_addr remote;
    struct li_sdp sdp;   /* what holds */
    struct li_sdp offer; /* what it asked for and nobody agreed to yet */
    uint32_t offer_cseq; /* of the request, or of the request whose 2xx made the offer */
    bool is_offer_in_answer;
};

struct li_fork { /* an early dialog */
    uint64_t tag;
    struct li_sdp sdp;
};

struct li_call {
    struct hlink by_id, by_sip_id;
    size_t at; /* in li_calls.all */
    char id[LI_ID_BYTES];
    uint64_t sip_id; /* hash of Call-ID */
    uint64_t begin_us, over_us;
    uint64_t last_us;   /* of the last record */
    uint64_t known_us;  /* a run before this one knew everything older */
    uint64_t reference; /* of its id: the same for all who compute it */
    char called[LI_TEXT_BYTES], route[LI_TEXT_BYTES];
    char dialled_uri[LI_URI_MAX]; /* Request-URI of who called: user@host */
    char sequence[32];            /* CallId: seconds, comma, number */
    struct li_side_state side[LI_SIDES];
    struct li_crypto *crypto;        /* NULL: its keys are where they belong; owned */
    uint64_t caller_tag, answer_tag; /* hashes; 0: not known */
    bool is_routed, is_answered, is_over;
    bool is_ringing; /* said of the callee of now */
    uint32_t invite_cseq;
    bool has_invite;
    unsigned redirections;
    uint64_t seen[LI_SEEN];
    unsigned n_seen;
    struct li_fork fork[LI_FORKS];
    unsigned n_forks;
    struct li_leg *leg; /* owned */
    unsigned n_legs, room;
};

struct li_referral { /* REFER in a call that an order follows */
    char call[LI_ID_BYTES];
    enum li_side by;
    uint64_t line, trunk; /* who was sent on */
    char to[LI_TEXT_BYTES];
    uint32_t cseq;
    uint64_t at_us; /* 0: free */
    bool is_accepted;
};

struct li_key { /* of an index over the orders */
    uint64_t key;
    size_t at;
};

struct li_index { /* sorted by key, then by place */
    struct li_key *v;
    size_t n;
};

struct li_calls {
    struct li_calls_cfg cfg;
    char element[LI_ELEMENT_MAX];
    struct secret *key;
    struct li_order *order;
    size_t n_orders;
    struct li_index by_order, by_line, by_name; /* by_name: numbers and addresses outside */
    bool orders_changed;
    uint64_t due_us,
        sweep_us; /* wall: when an order begins or ends next; next look for old calls */
    struct hlink **heads, **sip_heads;
    size_t n_heads;
    struct li_call **all; /* in no order */
    size_t n, n_over;
    size_t looked_at; /* where in all to look next for one to forget */
    struct li_referral referral[LI_REFERRALS];
    uint8_t seen_key[16]; /* of hashes of messages: who writes them must not find two alike */
    uint64_t *seen; /* hash and second of messages outside of calls, LI_SEEN_OUTSIDE of each */
    uint64_t told, forgotten;
    bool silent, is_changed;
    uint64_t now_us; /* of the record, or of the tick */
};

/* ---- calls.c -----------------------------------------------------------------------------------
 */
uint64_t li_hash(struct view v); /* never 0 */
struct li_call *li_call_of(const struct li_calls *c, struct view id);
struct li_call *li_call_of_sip_id(const struct li_calls *c, struct view call_id);
void li_copy_text(char *dst, size_t dst_bytes, struct view v); /* cut to fit */
/* A new one in the table. NULL: out of memory (counted, logged). */
struct li_call *li_call_add(struct li_calls *c, struct view id, uint64_t begin_us);
void li_call_file(struct li_calls *c, struct li_call *call); /* under its sip_id */
void li_calls_forget(struct li_calls *c);                    /* all, and nobody is told */
/* Whether the message is of that party as the call knows it now. */
bool li_is_party(const struct li_call *call, enum li_side side, const struct tap_record *r);

/* ---- match.c -----------------------------------------------------------------------------------
 */
struct li_match { /* a walk over the orders on a party */
    const struct li_index *index;
    uint64_t line, key;
    struct view number, uri;
    size_t at;
    bool is_uri;
};
struct li_match li_match_begin(const struct li_calls *c, const struct li_side_state *who);
const struct li_order *li_match_next(const struct li_calls *c, struct li_match *m); /* NULL: end */
MUST_CHECK enum err li_match_orders(struct li_calls *c, const struct li_orders *orders);
void li_match_fini(struct li_calls *c);
const struct li_order *li_order_by_id(const struct li_calls *c, uint64_t id); /* NULL */
bool li_covers(const struct li_order *o, enum li_role role);
/* The order of a leg while it runs; NULL: it is over, or was taken back. */
const struct li_order *li_order_of(const struct li_calls *c, const struct li_leg *leg);
bool li_has_leg(const struct li_call *call, uint64_t order, enum li_role role);
/* NULL: no memory (logged), or it has one. */
struct li_leg *li_add_leg(struct li_calls *c, struct li_call *call, const struct li_order *o,
                          enum li_role role);
enum li_side li_side_of(const struct li_leg *leg);
/* The first leg of its order: what is of the call, and of no side, is said by it alone. */
bool li_is_first(const struct li_call *call, unsigned i);

/* ---- call_media.c ------------------------------------------------------------------------------
 */
void li_sdp_free(struct li_sdp *s);
/* False: it is the same as before, none, or cannot be sent. */
bool li_sdp_set(struct li_sdp *s, struct view sdp);
void li_media_fini(struct li_call *call);
void li_media_forget(struct li_call *call, enum li_side side);
enum li_media { LI_MEDIA_SAME, LI_MEDIA_CHANGED };
/* What a message says of the media of a call: offers count when they are agreed to. */
enum li_media li_media_learn(struct li_call *call, const struct tap_record *r,
                             const struct li_message *m, enum li_side side);
/* The INVITE that made the call, or an answer to it. */
bool li_is_setup(const struct li_call *call, const struct li_message *m, enum li_side asker);

/* ---- events.c, transfer.c ----------------------------------------------------------------------
 */
struct cdc_message li_message_of(const struct li_calls *c, const struct li_call *call,
                                 const struct li_order *o, enum cdc_kind kind);
void li_tell(struct li_calls *c, const struct li_order *o, const struct cdc_message *m);
struct li_party_texts { /* what a struct cdc_party points into */
    char digits[16], ip[NET_TEXT_MAX], port[8], trunk[24], address[33];
};
struct cdc_party li_party_of(const struct li_side_state *s, struct li_party_texts *t);
struct cdc_party li_party_of_number(struct view number, struct li_party_texts *t);

void li_say_begin(struct li_calls *c, struct li_call *call);
/* before: the callee until now; NULL: there was none. */
void li_say_route(struct li_calls *c, struct li_call *call, const struct li_side_state *before);
void li_say_message(struct li_calls *c, struct li_call *call, const struct tap_record *r,
                    const struct li_message *m, enum li_side side);
/* Its media keys came to be known. */
void li_say_keys(struct li_calls *c, struct li_call *call);
void li_say_end(struct li_calls *c, struct li_call *call);
/* What a call that was told of late has become. */
void li_say_so_far(struct li_calls *c, struct li_call *call, struct li_leg *leg);
/* Orders that ended since the leg was made: their contents close. */
void li_drop_over(struct li_calls *c, struct li_call *call);
/* Those, and orders that began. */
void li_say_orders(struct li_calls *c, struct li_call *call);

/* REFER in a call, and the answer to it. */
void li_note_referral(struct li_calls *c, const struct li_call *call, enum li_side by,
                      const struct li_message *m);
void li_note_referred(struct li_calls *c, const struct li_call *call, enum li_side by,
                      const struct li_message *m);
/* A call began, or its INVITE came: whether another call is the reason for it. */
void li_say_transfer(struct li_calls *c, struct li_call *call);
void li_say_replaces(struct li_calls *c, const struct li_call *call, const struct li_message *m);

/* ---- copies.c ----------------------------------------------------------------------------------
 */
/* Requests outside of calls: registrations, messages ... */
void li_say_other(struct li_calls *c, const struct tap_record *r, const struct li_message *m);
/* The subject's SIP for X2. */
void li_copy_of_call(struct li_calls *c, const struct li_call *call, const struct tap_record *r,
                     const struct li_message *m, enum li_side side);
void li_copy_other(struct li_calls *c, const struct tap_record *r, const struct li_message *m);

#endif
