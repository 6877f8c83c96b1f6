/* How many requests one principal may make: a bucket for each, of those seen lately. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "admin_api/api_int.h"
#include "base/mem.h"

enum { BUCKETS = 256, BURST = 4 };

struct bucket {
    char name[PRINCIPAL_NAME_MAX];
    uint64_t thousandths; /* of a request */
    uint64_t at_ms;
};

struct api_rates {
    pthread_mutex_t lock;
    unsigned per_second;
    struct bucket bucket[BUCKETS];
};

enum err api_rates_new(unsigned per_second, struct api_rates **out)
{
    struct api_rates *r = mem_zalloc(sizeof *r);

    if (r == NULL) {
        return FAIL(E_NOMEM);
    }
    pthread_mutex_init(&r->lock, NULL);
    r->per_second = per_second > 0 ? per_second : 1;
    *out = r;
    return E_OK;
}

void api_rates_free(struct api_rates *r)
{
    if (r != NULL) {
        pthread_mutex_destroy(&r->lock);
        mem_free(r);
    }
}

/* His, or that of the one who was quiet longest: it is full again, or nearly so. */
static struct bucket *bucket_of(struct api_rates *r, const char *name)
{
    struct bucket *oldest = &r->bucket[0];

    for (size_t i = 0; i < BUCKETS; i++) {
        if (strcmp(r->bucket[i].name, name) == 0) {
            return &r->bucket[i];
        }
        if (r->bucket[i].at_ms < oldest->at_ms) {
            oldest = &r->bucket[i];
        }
    }
    *oldest = (struct bucket){.at_ms = 0};
    snprintf(oldest->name, sizeof oldest->name, "%s", name);
    return oldest;
}

unsigned api_rates_take(struct api_rates *r, const char *name, uint64_t now_ms)
{
    uint64_t most = (uint64_t)r->per_second * BURST * 1000;

    pthread_mutex_lock(&r->lock);
    struct bucket *b = bucket_of(r, name);
    /* Threads looked at the clock before they came here: one may be behind another. */
    now_ms = now_ms > b->at_ms ? now_ms : b->at_ms;
    uint64_t since = now_ms - b->at_ms;
    b->thousandths = since > (uint64_t)BURST * 1000 ? most : b->thousandths + since * r->per_second;
    b->thousandths = b->thousandths > most ? most : b->thousandths;
    b->at_ms = now_ms;
    bool good = b->thousandths >= 1000;
    b->thousandths -= good ? 1000 : 0;
    pthread_mutex_unlock(&r->lock);
    return good ? 0 : 1;
}
