/* lawful_intercept/li_int.h - what li.c, li_places.c and li_officers.c share. */
#ifndef LAWFUL_INTERCEPT_LI_INT_H
#define LAWFUL_INTERCEPT_LI_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/pg.h"
#include "lawful_intercept/calls.h"
#include "lawful_intercept/deliver.h"
#include "lawful_intercept/enrolled.h"
#include "lawful_intercept/li.h"
#include "lawful_intercept/li_kept.h"
#include "lawful_intercept/tap_read.h"

enum {
    LI_PATH_BYTES = 512,
    LI_FILE_BYTES = LI_PATH_BYTES + 32,
    LI_KEPT_S = 3600,
    LI_DIRECTORY_WAIT_MS = 3000
};

enum li_channel { LI_CHANNEL_CDC, LI_CHANNEL_X2, LI_CHANNELS };

struct li_place_run { /* one order to one place */
    uint64_t order;
    enum li_channel channel;
    const char *channel_name;
    struct li_place to; /* as the agency had it when the delivery began */
    struct spool *spool;
    struct li_delivery *delivery; /* NULL: it could not be started */
    uint32_t sequence;            /* of X2 PDUs */
    uint64_t opened_us; /* wall; what waited before that is no news to alarm anybody with */
    uint64_t lost_shown, lost_shown_us; /* of spool_facts.lost; wall */
    bool is_dirty, has_news;            /* since the last sync; since the delivery was woken */
    uint64_t waits_ms;                  /* the oldest record that the agency never had */
    bool is_syncing;                    /* by the commit thread */
    bool is_late, is_slow, is_refused, is_stuck, is_ending;
};

enum { LI_POSITIONS_MAX = 4, LI_POSITION_BYTES = sizeof(struct tap_position) };

struct li_commit {
    pthread_t thread;
    bool is_running, has_failed, position_failed; /* failed: and it was said */
    _Atomic bool stopping;
    struct li_commit_position {
        char file[LI_FILE_BYTES];
        uint8_t octets[LI_POSITION_BYTES];
        size_t bytes;
        bool is_new;
    } position[LI_POSITIONS_MAX];
};

enum { LI_TAP_CALLS, LI_TAP_ENROLMENTS, LI_TAPS }; /* of headgate; of headgate-prov */

struct li_tap {
    char file[LI_PATH_BYTES]; /* empty: there is none */
    struct li_calls *calls;
    struct li_enrolled *enrolled; /* of headgate-prov's; else NULL */
    struct tap_reader *reader;
    struct tap_position position;    /* up to which everything is in the spools, on disk */
    uint64_t ring_at[TAP_RINGS_MAX]; /* silent up to that number */
    char calls_file[LI_FILE_BYTES];  /* live calls, for the next run */
    uint64_t kept_due_ms;            /* mono; under the lock */
};

struct li {
    struct li_cfg cfg;
    char element[LI_ELEMENT_MAX], spool[LI_PATH_BYTES], position_file[LI_PATH_BYTES],
        directory[1024];
    struct secret *key;
    struct p256_key *enrolment_keys; /* cfg.n_enrolment_keys of them */
    pthread_mutex_t officers;        /* one act at a time; taken before lock */
    pthread_mutex_t lock;            /* book, places, counts */
    struct li_book *book;
    _Atomic bool book_changed, stopping, orders_known;
    uint64_t opened_ms;          /* mono */
    struct li_place_run **place; /* by order and channel */
    size_t n_places, orders_looked_at;
    struct li_commit commit;
    struct li_counts counts;
    pthread_t tap_thread, store_thread;
    bool has_tap_thread, has_store_thread;
    /* the tap thread's own, and under the lock the commit thread's to look at */
    struct li_tap tap[LI_TAPS];
    uint8_t *octets;
    /* the store thread's own */
    struct pg_sync *db;
    uint64_t directory_seq, directory_retry_ms;
    _Atomic bool directory_known;
};

/* li_commit.c: what was spooled, then how far the tap was read, onto the disk. A thread of its own
 * does it, all that has come since the last time together, so that a slow disk holds up neither who
 * reads the tap nor any delivery. */
MUST_CHECK enum err li_commit_start(struct li *l);
/* Everything up to that position is in the spools. Under the lock. slot: each file has its own. */
void li_commit_offer(struct li *l, unsigned slot, const char *file, const void *position,
                     size_t bytes);
void li_commit_stop(struct li *l); /* when nobody offers any more: a last time, then it ends */

/* li_places.c: under the lock */
void li_places_follow(struct li *l, uint64_t now_us);
struct li_place_run *li_place_of(struct li *l, uint64_t order, enum li_channel channel);
void li_places_wake(struct li *l); /* deliveries of which the spool has more */
void li_place_facts_of(const struct li_place_run *p, struct li_delivery_facts *d,
                       struct spool_facts *f);
void li_places_watch(struct li *l, uint64_t now_us);
void li_places_close(struct li *l, unsigned linger_ms);

/* li_taps.c: the tap thread's, under the lock */
MUST_CHECK enum err li_taps_open(struct li *l, const struct li_cfg *cfg);
void li_taps_close(struct li *l);
/* True: there was something. may: a tap may be attached. */
bool li_taps_read(struct li *l, bool may);
/* What was read is in the spools: once it is on disk, that far need not be read again. */
void li_taps_settle(struct li *l);
bool li_tap_is_caught_up(const struct li_tap *t); /* not in what is read a second time */

/* li_sink.c */
struct li_sink li_sink_of(struct li *l);

/* li_directory.c: numbers and BTIs of lines, all of them, so that no question names a target. */
void li_directory_follow(struct li *l);

#endif
