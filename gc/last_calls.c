/* A table in shards; in each a list of its lines by when they were called last. */
#include "gc/last_calls.h"

#include <pthread.h>
#include <string.h>

#include "base/crypto.h"
#include "base/hlist.h"
#include "base/mem.h"

enum { SHARDS = 16, HEADS = 1024, LINES = 20000, CALLS_OF_A_LINE = 4, TAG_BYTES = 196 };

struct noted {
    struct last_call call;
    char tag[TAG_BYTES];
};

struct of_line {
    struct hlink by_line;
    uint64_t line_id;
    struct of_line *newer, *older;
    unsigned n, newest;
    struct noted v[CALLS_OF_A_LINE];
};

struct shard {
    pthread_mutex_t lock;
    size_t n;
    struct of_line *newest, *oldest;
    struct hlink *heads[HEADS];
};

struct last_calls {
    size_t max; /* of a shard */
    uint8_t key[16];
    struct shard s[SHARDS];
};

enum err last_calls_new(size_t lines, struct last_calls **out)
{
    struct last_calls *l = mem_zalloc(sizeof *l);
    enum err e = l != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    TRY(crypto_random(l->key, sizeof l->key));
    l->max = (lines != 0 ? lines : LINES) / SHARDS;
    l->max = l->max > 0 ? l->max : 1;
    for (size_t i = 0; i < SHARDS; i++) {
        BUG_ON(pthread_mutex_init(&l->s[i].lock, NULL) != 0);
    }
    *out = l;
    l = NULL; /* moved */
out:
    mem_free(l);
    return e;
}

void last_calls_free(struct last_calls *l)
{
    for (size_t i = 0; l != NULL && i < SHARDS; i++) {
        struct of_line *next = NULL;
        for (struct of_line *o = l->s[i].newest; o != NULL; o = next) {
            next = o->older;
            mem_free(o);
        }
        (void)pthread_mutex_destroy(&l->s[i].lock);
    }
    mem_free(l);
}

/* ---- one shard, locked -------------------------------------------------------------------------
 */
static struct shard *lock(struct last_calls *l, uint64_t line_id, struct hlink ***head)
{
    uint64_t hash = siphash64(l->key, view_from(&line_id, sizeof line_id));
    struct shard *s = &l->s[hash % SHARDS];

    *head = &s->heads[hash / SHARDS % HEADS];
    BUG_ON(pthread_mutex_lock(&s->lock) != 0);
    return s;
}

static void unlock(struct shard *s)
{
    BUG_ON(pthread_mutex_unlock(&s->lock) != 0);
}

static struct of_line *find(struct hlink *const *head, uint64_t line_id)
{
    for (struct hlink *p = *head; p != NULL; p = p->next) {
        struct of_line *o = HLIST_OF(p, struct of_line, by_line);
        if (o->line_id == line_id) {
            return o;
        }
    }
    return NULL;
}

static void unlink_line(struct shard *s, struct of_line *o)
{
    *(o->newer != NULL ? &o->newer->older : &s->newest) = o->older;
    *(o->older != NULL ? &o->older->newer : &s->oldest) = o->newer;
    o->newer = o->older = NULL;
}

static void put_first(struct shard *s, struct of_line *o)
{
    o->older = s->newest;
    *(s->newest != NULL ? &s->newest->newer : &s->oldest) = o;
    s->newest = o;
}

/* A place for one more line: new, or that of the line which was called least recently. */
static struct of_line *place(const struct last_calls *l, struct shard *s)
{
    struct of_line *o = s->n < l->max ? mem_zalloc(sizeof *o) : NULL;

    if (o != NULL) {
        s->n++;
        return o;
    }
    o = s->oldest;
    if (o != NULL) {
        unlink_line(s, o);
        hlist_drop(&o->by_line);
        memset(o, 0, sizeof *o);
    }
    return o;
}

/* ---- the door ----------------------------------------------------------------------------------
 */
void last_calls_note(struct last_calls *l, uint64_t line_id, const struct last_call *c,
                     struct view tag)
{
    struct hlink **head = NULL;
    struct shard *s = lock(l, line_id, &head);
    struct of_line *o = find(head, line_id);

    if (o != NULL) {
        unlink_line(s, o);
    } else if ((o = place(l, s)) != NULL) {
        o->line_id = line_id;
        hlist_push(head, &o->by_line);
    }
    if (o != NULL) {
        put_first(s, o);
        o->newest = o->n == 0 ? 0 : (o->newest + 1) % CALLS_OF_A_LINE;
        o->n += o->n < CALLS_OF_A_LINE;
        o->v[o->newest].call = *c;
        o->v[o->newest].tag[0] = 0;
        if (tag.n < TAG_BYTES) {
            IGNORE(view_to_cstr(tag, o->v[o->newest].tag, TAG_BYTES), "then no dialog is found");
        }
    }
    unlock(s);
}

void last_calls_find(struct last_calls *l, uint64_t line_id, struct last_call *out)
{
    struct hlink **head = NULL;
    struct shard *s = lock(l, line_id, &head);
    const struct of_line *o = find(head, line_id);

    *out = o != NULL ? o->v[o->newest].call : (struct last_call){.started_us = 0};
    unlock(s);
}

bool last_calls_find_dialog(struct last_calls *l, uint64_t line_id, struct view call_id,
                            struct view tag, struct last_call *out)
{
    struct hlink **head = NULL;
    struct shard *s = lock(l, line_id, &head);
    const struct of_line *o = find(head, line_id);
    bool found = false;

    for (unsigned i = 0; o != NULL && tag.n > 0 && i < o->n && !found; i++) {
        found =
            view_eq(view_of(o->v[i].call.call_id), call_id) && view_eq(view_of(o->v[i].tag), tag);
        if (found) {
            *out = o->v[i].call;
        }
    }
    unlock(s);
    return found;
}
