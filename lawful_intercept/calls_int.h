/* lawful_intercept/calls_int.h - what calls.c (the table) and events.c (what is told) share. */
#ifndef LAWFUL_INTERCEPT_CALLS_INT_H
#define LAWFUL_INTERCEPT_CALLS_INT_H

#include "base/crypto.h"
#include "base/hlist.h"
#include "lawful_intercept/calls.h"
#include "lawful_intercept/message.h"

enum {
    LI_ID_BYTES = 20, /* of headgate's ids: 16 characters */
    LI_TEXT_BYTES = 64,
    LI_SEEN = 16,    /* hashes of the last messages of a call */
    LI_LEGS_MAX = 16 /* orders that concern one call */
};

enum li_side { LI_CALLER, LI_CALLEE, LI_SIDES };
enum li_role { LI_ORIGINATES = 1, LI_TERMINATES = 2 };

struct li_leg { /* a call as one order sees it */
    uint64_t order;
    enum li_role role;
    bool is_open;      /* CCOpen was said */
    bool is_announced; /* the order began within the call, and that was said */
    char content[9];
};

struct li_side_state {
    uint64_t line, trunk;
    char number[LI_TEXT_BYTES];
    struct net_addr remote;
    char *sdp; /* the last; owned */
    size_t sdp_n;
};

struct li_call {
    struct hlink by_id;
    char id[LI_ID_BYTES];
    uint64_t begin_us;
    uint64_t reference; /* of its id: the same for all who compute it */
    char called[LI_TEXT_BYTES], route[LI_TEXT_BYTES];
    char sequence[32]; /* CallId: seconds, comma, number */
    struct li_side_state side[LI_SIDES];
    bool is_routed, is_answered, is_emergency;
    bool is_offered;      /* a session description came in a request that is not answered yet */
    uint32_t invite_cseq; /* of the INVITE that made it */
    bool has_invite;
    unsigned redirections;
    uint64_t seen[LI_SEEN];
    unsigned n_seen;
    struct li_leg leg[LI_LEGS_MAX];
    unsigned n_legs;
};

struct li_calls {
    struct li_calls_cfg cfg;
    char element[LI_ELEMENT_MAX];
    struct secret *key;
    struct li_order *order;
    size_t n_orders;
    struct hlink **heads;
    size_t n_heads;
    struct li_call **all; /* in no order; for li_calls_tick() */
    size_t n;
    uint64_t told, forgotten;
    bool silent;
    uint64_t now_us; /* of the record, or of the tick */
};

/* events.c */
void li_say_begin(struct li_calls *c, struct li_call *call);
/* before: the callee until now; NULL: there was none. */
void li_say_route(struct li_calls *c, struct li_call *call, const struct li_side_state *before);
void li_say_message(struct li_calls *c, struct li_call *call, const struct tap_record *r,
                    const struct li_message *m, enum li_side side);
void li_say_end(struct li_calls *c, struct li_call *call);
/* Orders that began, or ended, since the leg was made. */
void li_say_orders(struct li_calls *c, struct li_call *call);
/* Requests outside of calls: registrations, messages ... */
void li_say_other(struct li_calls *c, const struct tap_record *r, const struct li_message *m);
/* The subject's SIP for X2. */
void li_copy_signaling(struct li_calls *c, const struct li_call *call, const struct tap_record *r,
                       const struct li_message *m);

#endif
