/* lawful_intercept/li.h - headgate-li itself: reads the tap, follows the calls, spools what the
 * orders ask for, keeps the deliveries going; and what officers may do with it.
 *
 * Threads    two of its own (tap; store and directory) and one for each delivery. The functions
 * below: any thread. */
#ifndef LAWFUL_INTERCEPT_LI_H
#define LAWFUL_INTERCEPT_LI_H

#include "lawful_intercept/book.h"
#include "lawful_intercept/li_store.h"

enum { LI_ENROLMENT_KEYS_MAX = 4 };

struct li;
struct metrics;

struct li_cfg {
    const char *element;        /* accessingElementId, 1 to 15 characters */
    const char *tap;            /* file of headgate on this machine */
    const char *tap_enrolments; /* of headgate-prov on this machine; empty, NULL: none */
    const char *spool;          /* folder */
    const char *position;       /* file: how far the tap was read */
    const char *directory;      /* conninfo of the subscribers' database: numbers and BTIs of lines;
                                   empty: none */
    struct li_store *store;
    const struct secret *key;
    struct tls_ctx *tls;                   /* towards agencies; NULL: plain ones alone */
    const struct p256_key *enrolment_keys; /* what opens media keys of 611 calls, newest first */
    size_t n_enrolment_keys;               /* 0 to LI_ENROLMENT_KEYS_MAX; they are copied */
    uint64_t spool_bytes;                  /* of one case to one place; 0: the disk */
    uint64_t warn_ms, late_ms;             /* a record that waits for so long: 4 s, 8 s */
};

MUST_CHECK enum err li_open(const struct li_cfg *cfg, struct li **out);
void li_close(struct li *l, unsigned linger_ms); /* NULL is fine */

/* ---- officers ----------------------------------------------------------------------------------
 * Each returns a new reference, or NULL and *e: E_PARSE (errors says why), E_NOTFOUND, E_STATE,
 * E_DENIED (of these two errors may name the field that is in the way), E_TIMEOUT (nobody knows),
 * E_IO (database away), E_EXISTS (somebody else was quicker: again). who: the officer. */
json_t *li_enter(struct li *l, enum li_kind kind, const json_t *form, const char *who,
                 json_t *errors, enum err *e);
json_t *li_act(struct li *l, uint64_t order, enum li_act act, const char *who, const char *reason,
               json_t *errors, enum err *e);
/* Of an agency (book.h), with the form that the act takes. */
json_t *li_change(struct li *l, uint64_t agency, enum li_agency_act act, const json_t *form,
                  const char *who, json_t *errors, enum err *e);
json_t *li_show(struct li *l, enum li_kind kind, uint64_t id, enum err *e); /* id 0: all of them */
json_t *li_state(struct li *l);                                             /* deliveries, tap */

struct li_counts { /* for metrics */
    uint64_t records, lost, bad_keys, calls, orders_active, spooled, sent, spool_lost, waiting_ms;
    unsigned places, places_down;
    bool tap_up, store_up;
};
void li_counts_of(struct li *l, struct li_counts *out);

#endif
