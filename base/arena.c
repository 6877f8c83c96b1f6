#include "base/arena.h"

#include <string.h>

#include "base/mem.h"

#define ARENA_CHUNK_BYTES 4096u

struct arena_chunk {
    struct arena_chunk *next;
    size_t used, size;
    _Alignas(16) char b[];
};

void arena_init(struct arena *a, size_t max_bytes)
{
    *a = (struct arena){.max_bytes = max_bytes};
}

static struct arena_chunk *grow(struct arena *a, size_t need)
{
    size_t size = need > ARENA_CHUNK_BYTES ? need : ARENA_CHUNK_BYTES;
    struct arena_chunk *c = NULL;

    if (a->max_bytes != 0 && (size > a->max_bytes || a->used_bytes > a->max_bytes - size)) {
        return NULL;
    }
    c = mem_zalloc(sizeof *c + size);
    if (c == NULL) {
        return NULL;
    }
    c->size = size;
    c->next = a->head;
    a->head = c;
    a->used_bytes += size;
    return c;
}

void *arena_alloc(struct arena *a, size_t n)
{
    struct arena_chunk *c = a->head;
    void *p = NULL;

    if (n > SIZE_MAX / 2) {
        return NULL;
    }
    n = (n + 15) & ~(size_t)15;
    if (c == NULL || c->size - c->used < n) {
        c = grow(a, n);
    }
    if (c == NULL) {
        return NULL;
    }
    p = c->b + c->used;
    c->used += n;
    return p;
}

struct view arena_dup(struct arena *a, struct view v)
{
    return (struct view){arena_cstr(a, v), v.n};
}

char *arena_cstr(struct arena *a, struct view v)
{
    char *copy = v.n < SIZE_MAX / 2 ? arena_alloc(a, v.n + 1) : NULL;

    if (copy != NULL && v.n > 0) {
        memcpy(copy, v.p, v.n);
    }
    return copy;
}

void arena_reset(struct arena *a)
{
    while (a->head != NULL) {
        struct arena_chunk *next = a->head->next;
        mem_free(a->head);
        a->head = next;
    }
    a->used_bytes = 0;
}

void arena_fini(struct arena *a)
{
    arena_reset(a);
}
