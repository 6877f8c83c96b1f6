/* lawful_intercept/spool.h - what is to be delivered of one case to one place, on disk until it
 * was: in order, sealed, and none lost in silence.
 *
 * Files      a folder; in it segments of some MiB, "SEQ.seg" by their first record, and "done", the
 * number up to which all was delivered. Segment: "HGSPOOL1" | salt (16) | first number (8); then
 * records: octets (4) | number (8) | AES-256-GCM of them under HKDF(key, salt), nonce 0 | number,
 * AAD name | number. Big endian. A record cut short by a crash is taken off the end at opening.
 * Numbers    1, 2, 3 ... for ever: what is missing can be seen by the reader.
 * Full       past max_bytes, or when the disk is full, the oldest segment goes, and its undelivered
 * records are counted (spool_facts.lost) for an alarm.
 * Threads    any: one lock. */
#ifndef LAWFUL_INTERCEPT_SPOOL_H
#define LAWFUL_INTERCEPT_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/secret.h"
#include "base/view.h"

enum { SPOOL_RECORD_MAX = 256 * 1024 };

struct spool;

struct spool_cfg {
    const char *folder;       /* made when it is missing, mode 0700 */
    const char *name;         /* of case and place: part of what is sealed, so that no record can be
                                 moved to another case */
    const struct secret *key; /* 32 octets; read during spool_open() and kept */
    size_t segment_bytes;     /* 0: 4 MiB */
    uint64_t max_bytes;       /* 0: no bound but the disk */
};

struct spool_facts {
    uint64_t next, done; /* number of the next record; delivered up to */
    uint64_t bytes, lost;
    uint64_t oldest_us; /* wall, of the oldest record that was not delivered; 0: none */
};

/* E_IO; E_PARSE: files that are not ours; E_AUTH: sealed under another key or name; E_NOMEM. */
MUST_CHECK enum err spool_open(const struct spool_cfg *cfg, struct spool **out);
void spool_close(struct spool *s); /* NULL is fine */

/* Appends; at_us: when it happened (for oldest_us). Safe against a crash after spool_sync().
 * E_RANGE; E_FULL: the disk takes nothing even without older segments: the record is counted as
 * lost. */
MUST_CHECK enum err spool_put(struct spool *s, uint64_t at_us, struct view octets,
                              uint64_t *number);
MUST_CHECK enum err spool_sync(struct spool *s);

/* The record after the last that was read. E_NOTFOUND: none now; E_AUTH, E_PARSE: damaged: it is
 * counted as lost and skipped, call again. */
MUST_CHECK enum err spool_next(struct spool *s, void *dst, size_t dst_bytes, size_t *out_n,
                               uint64_t *number, uint64_t *at_us);
/* Reading begins anew behind `done`: after a connection broke. */
void spool_rewind(struct spool *s);
/* Delivered up to that number: segments of which all is go. */
MUST_CHECK enum err spool_done(struct spool *s, uint64_t number);
void spool_facts_of(struct spool *s, struct spool_facts *out);

#endif
