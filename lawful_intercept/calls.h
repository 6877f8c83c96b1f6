/* lawful_intercept/calls.h - from the tap's records to call-data messages: every live call is
 * followed, and what an order asks for of it is told to a sink.
 *
 * Way        li_calls_record() takes the records of one node in the order of each of its rings.
 * Events     docs/lawful-intercept.md has the table: which record makes which message.
 * Same again all that goes out depends on records and orders alone (ids of calls and contents are
 * computed, not drawn), so that a second reading of the same records says the same: after a restart
 * the ring is read from its oldest record, silently up to where the first run was.
 * Retransmissions say nothing a second time.
 * Limits     max_calls; past it one that is over, that no order asks for, or the oldest is
 * forgotten, and counted. One session description of 64 KiB for each side. Threads    one. */
#ifndef LAWFUL_INTERCEPT_CALLS_H
#define LAWFUL_INTERCEPT_CALLS_H

#include "base/secret.h"
#include "lawful_intercept/cdc.h"
#include "lawful_intercept/order.h"
#include "lawful_intercept/tap.h"

enum li_direction { LI_TO_SUBJECT, LI_FROM_SUBJECT };

struct li_sink { /* valid during the call */
    void (*call_data)(void *arg, const struct li_order *o, const struct cdc_message *m);
    /* SIP of the subject, cut down to what the order allows. correlation: of the call; 0: none. */
    void (*signaling)(void *arg, const struct li_order *o, enum li_direction direction,
                      uint64_t correlation, const struct tap_record *r, struct view octets);
    void *arg;
};

struct li_calls;
struct li_calls_cfg {
    const char *element;      /* our id in messages, 1 to 15 visible characters */
    const struct secret *key; /* 32 octets: content ids are computed with it; kept */
    size_t max_calls;         /* 0: 65536 */
    struct li_sink sink;
};

MUST_CHECK enum err li_calls_new(const struct li_calls_cfg *cfg, struct li_calls **out);
void li_calls_free(struct li_calls *c); /* NULL is fine */
/* Which orders there are from now on. Orders that begin or end in the middle of a call say so of
 * it at li_calls_tick(). The array is copied. */
MUST_CHECK enum err li_calls_orders(struct li_calls *c, const struct li_orders *orders);
/* silent: follow, tell nobody. */
void li_calls_record(struct li_calls *c, const struct tap_record *r, bool silent);
/* The program that wrote the records was started again: what calls it had are over. They are closed
 * and released at that time, and forgotten. */
void li_calls_gone(struct li_calls *c, uint64_t wall_us);
/* Media keys that are in no session description: lines "a=crypto:..." with CR LF, which the session
 * descriptions of either side get when they are told, for orders of content alone. */
enum { LI_CRYPTO_MAX = 128 };
struct li_crypto {
    char of_caller[LI_CRYPTO_MAX], of_callee[LI_CRYPTO_MAX]; /* what that side sends with */
};
void li_calls_secure(struct li_calls *c, struct view id, const struct li_crypto *keys);
/* Who called; 0: no such call, or no line. Calls are known for a while after their end. */
uint64_t li_calls_line_of(const struct li_calls *c, struct view id);
/* The live call of that line with this Call-ID: its media are told of anew, with the keys (NULL:
 * there are none). False: there is no such call. */
bool li_calls_secure_line(struct li_calls *c, struct view call_id, uint64_t line,
                          const struct li_crypto *keys, uint64_t at_us, bool silent);
void li_calls_tick(struct li_calls *c, uint64_t wall_us);

struct li_calls_facts {
    size_t calls, legs;       /* live ones; followed for an order */
    uint64_t told, forgotten; /* messages to the sink; calls past max_calls */
};
void li_calls_facts_of(const struct li_calls *c, struct li_calls_facts *out);

#endif
