/* gc/holdings.h - which live calls hold what: lines, trunks, routes, a place of their worker.
 *
 * Shape      a part for each worker, with a lock of its own that is held for some loads and stores,
 *            so that a worker waits for nobody while nobody looks for a victim. A holding is a
 *            member of its call: it is put in when the call begins and taken out when it ends.
 *            Those of a line are found without looking at the others.
 * Victims    of strictly lower rank than asked, not an emergency call, nor one with a provisioning
 *            server, nor of a PSAP that calls back, not taken by somebody else: lowest rank first,
 *            then the newest. Taking one is atomic: of two who want it one gets the next. Who is
 *            tapped is not known here and changes no choice.
 * Threads    put, drop, way: the call's worker; all else: any. */
#ifndef GC_HOLDINGS_H
#define GC_HOLDINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/hlist.h"

enum {
    HOLDING_ID_BYTES = 17,
    HOLDING_CALL_ID_BYTES = 257,
    HOLDING_NUMBER_BYTES = 24,
    HOLDING_BY_BYTES = 64
};

enum spared { SPARED_NOT, SPARED_EMERGENCY, SPARED_PROVISIONING };

struct holding_way {
    uint64_t callee_line, trunk_in, trunk_out, route_out; /* 0: none */
};

struct holding {
    struct hlink by_number, by_caller, by_callee;
    uint64_t number;      /* of its worker's calls: tells it from all others there */
    uint64_t began_us;    /* wall */
    uint64_t caller_line; /* 0: none */
    struct holding_way way;
    uint16_t worker;
    uint8_t rank;   /* that it defends itself by (gc/priority.h) */
    uint8_t spared; /* enum spared */
    bool is_held, is_taken;
    char taken_by[HOLDING_BY_BYTES]; /* is_taken */
    /* The call's texts. */
    const char *id, *call_id, *caller, *called;
};

struct holdings;

MUST_CHECK enum err holdings_new(unsigned workers, struct holdings **out);
void holdings_free(struct holdings *h); /* NULL is fine; no call lives any more */
void holdings_put(struct holdings *h, struct holding *x);
void holdings_drop(struct holdings *h, struct holding *x); /* twice is harmless */
/* It is known, or known anew, where the call goes. */
void holdings_way(struct holdings *h, struct holding *x, const struct holding_way *way);

enum holding_kind {
    HELD_PLACE, /* of a worker; id: its index */
    HELD_LINE,  /* a call that this line made */
    HELD_PHONE, /* a call of this line, either way */
    HELD_ROUTE,
    HELD_TRUNK, /* either way */
    HELD_KINDS
};

struct victim { /* a copy */
    uint64_t number, began_us, caller_line;
    struct holding_way way;
    uint16_t worker;
    uint8_t rank;
    uint8_t spared;
    bool is_taken; /* by somebody before */
    char taken_by[HOLDING_BY_BYTES];
    char id[HOLDING_ID_BYTES], call_id[HOLDING_CALL_ID_BYTES];
    char caller[HOLDING_NUMBER_BYTES], called[HOLDING_NUMBER_BYTES];
};
struct holding_wish {
    enum holding_kind kind;
    uint64_t id;
    unsigned below; /* this rank */
};
/* Takes the victim that holds such a thing. False: there is none. by: who takes it, in words. */
bool holdings_take(struct holdings *h, const struct holding_wish *w, const char *by,
                   struct victim *out);
/* Takes that very call, with its texts. False: it has ended, is spared, or is taken. */
bool holdings_take_this(struct holdings *h, uint16_t worker, uint64_t number, const char *by,
                        struct victim *out);
/* That call as it is now. False: it has ended. */
bool holdings_copy(struct holdings *h, uint16_t worker, uint64_t number, struct victim *out);
void holdings_let_go(struct holdings *h, const struct victim *v); /* it was not needed after all */
bool victim_holds(const struct victim *v, enum holding_kind kind, uint64_t id);
/* How many calls hold it. */
size_t holdings_count(struct holdings *h, enum holding_kind kind, uint64_t id);
/* Each holding of a worker, under its lock: fn must be short and take no other lock. */
void holdings_each(struct holdings *h, uint16_t worker,
                   void (*fn)(void *arg, const struct holding *x), void *arg);

#endif
