/* Failures of each source in a small table: what an attacker with many addresses can fill is this,
 * and then his sources share a row. */
#include <string.h>

#include "admin_api/principal_int.h"
#include "base/mem.h"

enum { ROW_WAYS = 8, ROWS = SOURCES_MAX / ROW_WAYS };

struct source {
    uint64_t hash; /* 0: free */
    uint64_t at_ms;
    unsigned failures;
};

struct source_limits {
    uint8_t key[16];
    struct source table[ROWS][ROW_WAYS];
};

enum err source_limits_new(struct source_limits **out)
{
    struct source_limits *s = mem_zalloc(sizeof *s);
    enum err e = s != NULL ? crypto_random(s->key, sizeof s->key) : FAIL(E_NOMEM);

    if (e == E_OK) {
        *out = s;
    } else {
        mem_free(s);
    }
    return e;
}

void source_limits_free(struct source_limits *s)
{
    mem_free(s);
}

static void forget(struct source *s, uint64_t now_ms)
{
    uint64_t gone = now_ms > s->at_ms ? (now_ms - s->at_ms) / SOURCE_REFILL_MS : 0;

    if (gone >= s->failures) {
        s->failures = 0;
        s->at_ms = now_ms;
    } else {
        s->failures -= (unsigned)gone;
        s->at_ms += gone * SOURCE_REFILL_MS;
    }
}

/* The source's place; a free or forgotten one; else the last of the row, which the rest shares. */
static struct source *place(struct source_limits *s, uint64_t hash, uint64_t now_ms)
{
    struct source *row = s->table[hash % ROWS], *empty = NULL;

    for (size_t i = 0; i < ROW_WAYS; i++) {
        forget(&row[i], now_ms);
        if (row[i].hash == hash) {
            return &row[i];
        }
        if (row[i].failures == 0 && empty == NULL) {
            empty = &row[i];
        }
    }
    if (empty != NULL) {
        *empty = (struct source){.hash = hash, .at_ms = now_ms};
    }
    return empty != NULL ? empty : &row[ROW_WAYS - 1];
}

bool source_failed(struct source_limits *s, struct view source, uint64_t now_ms)
{
    uint64_t hash = siphash64(s->key, source) | 1;
    struct source *at = place(s, hash, now_ms);

    if (at->failures >= SOURCE_FAILURES) {
        return true;
    }
    at->failures++;
    return false;
}
