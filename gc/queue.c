/* A ring of octets: each record is its length (8 octets) and its content, rounded up to 8. */
#include "gc/queue.h"

#include <pthread.h>
#include <string.h>

#include "base/mem.h"

#define HEAD_BYTES sizeof(uint64_t)

struct queue {
    pthread_mutex_t lock;
    size_t bytes, read, used;
    uint8_t *ring;
};

enum err queue_new(size_t bytes, struct queue **out)
{
    struct queue *q = mem_zalloc(sizeof *q);

    if (q == NULL || (q->ring = mem_zalloc(bytes)) == NULL ||
        pthread_mutex_init(&q->lock, NULL) != 0) {
        mem_free(q != NULL ? q->ring : NULL);
        mem_free(q);
        return FAIL(E_NOMEM);
    }
    BUG_ON(bytes / 2 < QUEUE_RECORD_MAX || bytes % HEAD_BYTES != 0);
    q->bytes = bytes;
    *out = q;
    return E_OK;
}

void queue_free(struct queue *q)
{
    if (q != NULL) {
        pthread_mutex_destroy(&q->lock);
        mem_free(q->ring);
        mem_free(q);
    }
}

static size_t rounded(size_t n)
{
    return (n + HEAD_BYTES - 1) / HEAD_BYTES * HEAD_BYTES;
}

static void copy_in(struct queue *q, size_t at, const void *p, size_t n)
{
    size_t first = 0;

    at %= q->bytes;
    first = n < q->bytes - at ? n : q->bytes - at;
    if (first > 0) {
        memcpy(q->ring + at, p, first);
    }
    if (n > first) {
        memcpy(q->ring, (const uint8_t *)p + first, n - first);
    }
}

static void copy_out(const struct queue *q, size_t at, void *p, size_t n)
{
    size_t first = n < q->bytes - at ? n : q->bytes - at;

    memcpy(p, q->ring + at, first);
    memcpy((uint8_t *)p + first, q->ring, n - first);
}

bool queue_push(struct queue *q, const struct view *parts, size_t n)
{
    uint64_t total = 0;
    size_t at = 0;
    bool fits = false;

    for (size_t i = 0; i < n; i++) {
        total += parts[i].n;
    }
    BUG_ON(total == 0 || total > QUEUE_RECORD_MAX);
    BUG_ON(pthread_mutex_lock(&q->lock) != 0);
    fits = HEAD_BYTES + rounded(total) <= q->bytes - q->used;
    if (fits) {
        at = q->read + q->used;
        copy_in(q, at, &total, HEAD_BYTES);
        at += HEAD_BYTES;
        for (size_t i = 0; i < n; i++) {
            copy_in(q, at, parts[i].p, parts[i].n);
            at += parts[i].n;
        }
        q->used += HEAD_BYTES + rounded(total);
    }
    BUG_ON(pthread_mutex_unlock(&q->lock) != 0);
    return fits;
}

size_t queue_pop(struct queue *q, void *dst)
{
    uint64_t n = 0;

    BUG_ON(pthread_mutex_lock(&q->lock) != 0);
    if (q->used > 0) {
        copy_out(q, q->read, &n, HEAD_BYTES);
        BUG_ON(n == 0 || n > QUEUE_RECORD_MAX);
        copy_out(q, (q->read + HEAD_BYTES) % q->bytes, dst, n);
        q->used -= HEAD_BYTES + rounded(n);
        /* Empty, as it nearly always is: from the start, where the memory is warm and mapped. */
        q->read = q->used == 0 ? 0 : (q->read + HEAD_BYTES + rounded(n)) % q->bytes;
    }
    BUG_ON(pthread_mutex_unlock(&q->lock) != 0);
    return n;
}
