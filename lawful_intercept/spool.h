/* lawful_intercept/spool.h - what is to be delivered of one case to one place, on disk until it
 * was: in order, sealed, and none lost in silence.
 *
 * Files      a folder; in it segments of a MiB, "SEQ.seg" by their first record, and "done": the
 * number up to which all was delivered, and the next one. Segment: "HGSPOOL1" | salt (16) | first
 * number (8); then records: octets (4) | number (8) | AES-256-GCM of them under HKDF(key, salt),
 * nonce 0 | number, AAD name | number. Big endian. A record cut short by a crash is taken off the
 * end at opening.
 * Numbers    1, 2, 3 ... for ever: what is missing can be seen by the reader.
 * Full       past max_bytes the oldest segment goes, and its undelivered records are counted
 * (spool_facts.lost) for an alarm. When the disk is full: what the peer has had, then what
 * make_room finds, then our own oldest segment.
 * Threads    any: one lock. A disk that is slow holds up who syncs, and nobody who puts or reads.
 */
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

typedef bool spool_room_fn(void *arg, const struct spool *asking, uint64_t bytes);

struct spool_cfg {
    const char *folder;       /* made when it is missing, mode 0700 */
    const char *name;         /* of case and place: part of what is sealed, so that no record can be
                                 moved to another case */
    const struct secret *key; /* 32 octets; read during spool_open() and kept */
    size_t segment_bytes;     /* 0: 1 MiB, and no more than a sixteenth of max_bytes */
    uint64_t max_bytes;       /* 0: no bound but the disk */
    /* A full disk, and what we could give up is owed: somebody whose is_spare, or who owes more
     * than `bytes`, gives something up (spool_shrink() of another spool). False: nobody does. NULL:
     * there is nobody. Called within spool_put(). */
    spool_room_fn *make_room;
    void *arg;
};

struct spool_facts {
    uint64_t next, done;        /* number of the next record; delivered up to */
    uint64_t read;              /* the last that was read */
    uint64_t bytes, owed, lost; /* octets; of segments that the peer has not had wholly; records */
    size_t segments;
    bool is_spare; /* the peer has had the oldest segment, and it is not the only one */
};

enum { SPOOL_DIRTY_MAX = 4 };
struct spool_dirty { /* what was written since the last sync */
    int fd[SPOOL_DIRTY_MAX + 1];
    unsigned n;
    bool folder, parent, failed;
};

/* E_IO; E_PARSE: files that are not ours; E_AUTH: sealed under another key or name; E_NOMEM. */
MUST_CHECK enum err spool_open(const struct spool_cfg *cfg, struct spool **out);
void spool_close(struct spool *s);  /* NULL is fine */
void spool_remove(struct spool *s); /* its files too */

/* Appends; at_us: when it happened. Safe against a crash of the machine after spool_sync().
 * E_RANGE; E_FULL: the disk takes nothing even without older segments: the record is counted as
 * lost. */
MUST_CHECK enum err spool_put(struct spool *s, uint64_t at_us, struct view octets,
                              uint64_t *number);
MUST_CHECK enum err spool_sync(struct spool *s);
/* The same in two steps: begin takes what is to be synced; end does it, holding no lock. Each begin
 * wants its end. whole: the whole file system is synced in between, and nothing is left to do. */
void spool_sync_begin(struct spool *s, bool whole, struct spool_dirty *out);
MUST_CHECK enum err spool_sync_end(struct spool *s, bool whole, struct spool_dirty *d);
bool spool_shrink(struct spool *s); /* the oldest segment goes; false: there is but one */

/* The record after the last that was read. E_NOTFOUND: none now; E_AUTH, E_PARSE: damaged: it is
 * counted as lost and skipped, call again. */
MUST_CHECK enum err spool_next(struct spool *s, void *dst, size_t dst_bytes, size_t *out_n,
                               uint64_t *number, uint64_t *at_us);
/* Reading begins anew behind `done`: after a connection broke. */
void spool_rewind(struct spool *s);
/* Delivered up to that number: segments of which all is go. */
MUST_CHECK enum err spool_done(struct spool *s, uint64_t number);
/* When that record happened, or the next one that is there; 0: none. Reads a segment. */
uint64_t spool_time(struct spool *s, uint64_t number);
/* The peer has had all up to that number, and may lose it yet: goes before what it never had when
 * there is no room, and is not lost then. */
void spool_confirmed(struct spool *s, uint64_t number);
void spool_facts_of(struct spool *s, struct spool_facts *out);

#endif
