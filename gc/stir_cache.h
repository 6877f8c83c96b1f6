/* gc/stir_cache.h - certificates of other signers by the URL they came from, good ones and the
 * knowledge that there is none; and who waits for one that is being fetched.
 *
 * Shape      one entry for each URL; one fetch for each URL at a time, however many calls ask.
 * Life       a good one: Cache-Control's max-age, a minute at least and stir.cache_max at most, an
 *            hour when nothing is said; never beyond the certificate's own end. What could not be
 *            fetched is not asked for again for STIR_BAD_MS.
 * Limits     `entries`; past it the one that was used longest ago goes. WAITERS_MAX for each.
 * Ownership  entries are counted: stir_entry_free() for each that was handed out.
 * Threads    any; one lock, held for a look-up. */
#ifndef GC_STIR_CACHE_H
#define GC_STIR_CACHE_H

#include "base/stir_cert.h"
#include "gc/stir_fetch.h"

enum { STIR_BAD_MS = 30000, STIR_MIN_MS = 60000, STIR_USUAL_MS = 3600000 };

struct stir_cache;
struct stir_entry;

struct stir_waiter { /* where the answer goes */
    void *workers;
    uint16_t worker;
    uint64_t ticket;
};

enum stir_found {
    STIR_FOUND_GOOD,   /* entry has the certificate */
    STIR_FOUND_BAD,    /* entry says why there is none */
    STIR_FOUND_COMING, /* being fetched: stir_cache_wait() */
    STIR_FOUND_NOTHING /* no memory, or too many are being fetched */
};

struct stir_cache_cfg {
    size_t entries;
    bool (*ask)(void *arg, const char *url); /* false: full. The answer: stir_cache_done() */
    void (*wake)(void *arg, const struct stir_waiter *to);
    void *arg;
};

MUST_CHECK enum err stir_cache_new(const struct stir_cache_cfg *cfg, struct stir_cache **out);
void stir_cache_free(struct stir_cache *c); /* NULL is fine; after the fetcher */
/* *out is set but for NOTHING. */
enum stir_found stir_cache_find(struct stir_cache *c, struct view url, uint64_t now_ms,
                                struct stir_entry **out);
/* Takes e, which was COMING: the waiter is told when it is that no more; at once if it is not. */
void stir_cache_wait(struct stir_cache *c, struct stir_entry *e, const struct stir_waiter *waiter);
/* The fetch of that URL came to this. cert: moved in; NULL: none, by result, or, when that is
 * STIR_FETCH_OK, because what came is no certificate that we take (why: a literal). life_ms of a
 * good one, from now_ms on. Wakes who waits. */
void stir_cache_done(struct stir_cache *c, const char *url, enum stir_fetch_result result,
                     struct stir_cert *cert, const char *why, uint64_t life_ms, uint64_t now_ms);
/* Other anchors, lists or rules hold from now on: nothing that is known counts any more. */
void stir_cache_clear(struct stir_cache *c);
size_t stir_cache_size(struct stir_cache *c);

const struct stir_cert *stir_entry_cert(const struct stir_entry *e);  /* GOOD */
enum stir_fetch_result stir_entry_result(const struct stir_entry *e); /* BAD */
const char *stir_entry_why(const struct stir_entry *e);               /* BAD; never NULL */
void stir_entry_free(struct stir_entry *e);                           /* lets go; NULL is fine */

#endif
