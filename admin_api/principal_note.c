#include <stdio.h>
#include <string.h>

#include "admin_api/principal_int.h"
#include "base/mem.h"

struct held {
    struct note note;
    uint64_t begun_ms, more; /* more: after the row that told of the first */
    bool is_used, is_told;   /* the first has its row */
    bool is_others;          /* counts what found no place */
};

struct notes {
    struct held held[NOTES_MAX + 1]; /* the last one: others */
    struct held *writing;
    uint64_t writing_more; /* what `writing` told of, beside the first */
    bool flushing;
};

enum err notes_new(struct notes **out)
{
    struct notes *n = mem_zalloc(sizeof *n);

    if (n == NULL) {
        return FAIL(E_NOMEM);
    }
    *out = n;
    return E_OK;
}

void notes_free(struct notes *n)
{
    mem_free(n);
}

static bool is_same(const struct note *a, const struct note *b)
{
    return strcmp(a->person, b->person) == 0 && strcmp(a->object, b->object) == 0 &&
           strcmp(a->why, b->why) == 0;
}

static bool is_over(const struct notes *n, const struct held *h, uint64_t now_ms)
{
    return n->flushing || now_ms - h->begun_ms >= NOTE_WINDOW_MS;
}

static struct held *find(struct notes *n, const struct note *note, uint64_t now_ms)
{
    struct held *empty = NULL;

    for (size_t i = 0; i < NOTES_MAX; i++) {
        struct held *h = &n->held[i];
        if (h->is_used && is_same(&h->note, note)) {
            return h;
        }
        /* Told, and nothing more came in its minute: its place is free. */
        if (h->is_used && h->is_told && h->more == 0 && h != n->writing && is_over(n, h, now_ms)) {
            h->is_used = false;
        }
        if (!h->is_used && empty == NULL) {
            empty = h;
        }
    }
    return empty;
}

bool notes_add(struct notes *n, const struct note *note, uint64_t now_ms)
{
    struct held *h = find(n, note, now_ms);
    bool is_others = h == NULL;

    h = is_others ? &n->held[NOTES_MAX] : h;
    /* The minute of one that was told is over and nothing came in it: a new one begins. */
    if (h->is_used && h->is_told && h->more == 0 && h != n->writing && is_over(n, h, now_ms)) {
        h->is_used = false;
    }
    if (h->is_used) {
        h->more++;
        return false;
    }
    *h = (struct held){.note = *note, .begun_ms = now_ms, .is_used = true, .is_others = is_others};
    if (is_others) {
        h->note = (struct note){.person = ""};
        snprintf(h->note.object, sizeof h->note.object, "refusals of many kinds");
        snprintf(h->note.why, sizeof h->note.why, "more than the audit log takes in a minute");
    }
    return true;
}

bool notes_due(struct notes *n, uint64_t now_ms, struct note *out, uint64_t *times)
{
    for (size_t i = 0; n->writing == NULL && i <= NOTES_MAX; i++) {
        struct held *h = &n->held[i];
        if (h->is_used && (!h->is_told || (h->more > 0 && is_over(n, h, now_ms)))) {
            n->writing = h;
            n->writing_more = h->is_told ? h->more : 0;
            *out = h->note;
            *times = h->is_told ? h->more : 1;
            return true;
        }
    }
    return false;
}

void notes_written(struct notes *n, bool written)
{
    struct held *h = n->writing;

    BUG_ON(h == NULL);
    n->writing = NULL;
    if (!written) {
        return; /* due again */
    }
    if (!h->is_told) {
        h->is_told = true;
        return;
    }
    h->more -= n->writing_more;
    h->is_used = h->more > 0; /* came while it was written: told with the next */
    h->begun_ms += NOTE_WINDOW_MS;
}

void notes_flush(struct notes *n)
{
    n->flushing = true;
}
