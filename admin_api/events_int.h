/* admin_api/events_int.h - between events.c (the ring and its streams) and events_poll.c (what
 * fills it). */
#ifndef ADMIN_API_EVENTS_INT_H
#define ADMIN_API_EVENTS_INT_H

#include <pthread.h>

#include "admin_api/events.h"

enum {
    EVENTS_RING = 4096,
    EVENTS_START_BYTES = 17,
    EVENTS_FORGET_MS = 120000, /* nobody listened for so long: what went on is not told any more */
    EVENTS_ROUND_MS = 1500,    /* a node has so long for its answer */
    EVENTS_SILENT_MS = 5000    /* one that had none is asked again then */
};

struct event_entry {
    uint64_t number;
    char event[12];
    char node[GATE_NAME_MAX]; /* empty: of none */
    bool is_call;
    char caller[64], called[64], routed[64], trunk_in[64], trunk_out[64];
    uint64_t caller_line, callee_line;
    char *data; /* JSON, mem_ */
};

struct place { /* how far a node has been read */
    char node[GATE_NAME_MAX];
    char start[24];
    uint64_t number;
    bool is_known, is_silent;
    uint64_t ask_ms; /* mono: not before */
};

struct events {
    struct gates *gates;
    pthread_t thread;
    bool runs;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t changed;
    bool stop, end;
    char start[EVENTS_START_BYTES];
    uint64_t last;   /* number of the newest entry */
    uint64_t rounds; /* that were finished with nothing left to fetch */
    size_t n_streams;
    struct event_stream *streams;
    uint64_t idle_ms; /* mono: since when nobody listens */
    struct event_entry ring[EVENTS_RING];
    /* the polling thread's own */
    struct place place[GATES_MAX];
    size_t n_places;
    bool more;
};

void events_lock(struct events *e);
void events_unlock(struct events *e);
/* Waits for a change, until mono ms at most. Locked. */
void events_wait(struct events *e, uint64_t until_ms);
/* Numbers it; data is moved. Unlocked. */
void events_put(struct events *e, struct event_entry *entry);
void *events_poll(void *events); /* the thread */

#endif
