/* lawful_intercept/li_int.h - what li.c, li_places.c and li_officers.c share. */
#ifndef LAWFUL_INTERCEPT_LI_INT_H
#define LAWFUL_INTERCEPT_LI_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/pg.h"
#include "lawful_intercept/calls.h"
#include "lawful_intercept/deliver.h"
#include "lawful_intercept/li.h"
#include "lawful_intercept/tap_read.h"

enum { LI_PATH_BYTES = 512, LI_KEPT_S = 3600, LI_DIRECTORY_WAIT_MS = 3000 };

enum li_channel { LI_CHANNEL_CDC, LI_CHANNEL_X2, LI_CHANNELS };

struct li_place_run { /* one order to one place */
    uint64_t order;
    enum li_channel channel;
    const char *channel_name;
    struct li_place to; /* as the agency had it when the delivery began */
    struct spool *spool;
    struct li_delivery *delivery;
    uint32_t sequence;   /* of X2 PDUs */
    uint64_t opened_us;  /* wall; what waited before that is no news to alarm anybody with */
    uint64_t lost_shown; /* of spool_facts.lost */
    bool is_dirty, is_late, is_slow;
};

struct li {
    struct li_cfg cfg;
    char element[LI_ELEMENT_MAX], tap[LI_PATH_BYTES], spool[LI_PATH_BYTES],
        position_file[LI_PATH_BYTES], directory[1024];
    struct secret *key;
    pthread_mutex_t officers; /* one act at a time; taken before lock */
    pthread_mutex_t lock;     /* book, places, counts */
    struct li_book *book;
    _Atomic bool book_changed, stopping, orders_known;
    uint64_t opened_ms; /* mono */
    struct li_place_run **place;
    size_t n_places;
    struct li_counts counts;
    pthread_t tap_thread, store_thread;
    bool has_tap_thread, has_store_thread;
    /* the tap thread's own */
    struct li_calls *calls;
    struct tap_reader *reader;
    struct tap_position position;    /* up to which everything is in the spools, on disk */
    uint64_t ring_at[TAP_RINGS_MAX]; /* silent up to that number */
    uint8_t *octets;
    /* the store thread's own */
    struct pg_sync *db;
    uint64_t directory_seq, directory_retry_ms;
    _Atomic bool directory_known;
};

/* li_places.c: under the lock */
void li_places_follow(struct li *l, uint64_t now_us);
struct li_place_run *li_place_of(struct li *l, uint64_t order, enum li_channel channel);
void li_places_sync(struct li *l);
void li_places_watch(struct li *l, uint64_t now_us);
void li_places_close(struct li *l, unsigned linger_ms);

/* li_sink.c */
struct li_sink li_sink_of(struct li *l);

/* li_directory.c: numbers and BTIs of lines, all of them, so that no question names a target. */
void li_directory_follow(struct li *l);

#endif
