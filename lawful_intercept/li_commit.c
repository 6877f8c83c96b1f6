/* Spools, live calls and positions onto the disk: group commit. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "lawful_intercept/li_int.h"

enum {
    COMMIT_MS = 50,     /* between two */
    SYNC_EACH_MAX = 16, /* more spools than that: the whole file system at once */
    KEEP_SHARE = 20     /* of the time, one part is for sealing live calls, under the lock */
};

struct work { /* of one commit */
    struct {
        struct li_place_run *place;
        struct spool_dirty dirty;
    } * v;
    size_t n;
    bool whole;
    struct {
        uint8_t *octets; /* sealed; NULL: as they were, or not now */
        size_t n;
        uint64_t ms; /* that sealing them took */
    } calls[LI_TAPS];
    struct li_commit_position position[LI_POSITIONS_MAX];
};

/* ---- what there is -----------------------------------------------------------------------------
 */
/* The live calls as they are with what is in the spools now. */
static bool collect_calls(struct li *l, struct work *w)
{
    bool any = false;

    for (unsigned i = 0; i < LI_TAPS; i++) {
        struct li_tap *t = &l->tap[i];
        uint64_t now = clock_mono_ms(clock_system());
        if (!li_kept_is_old(t->calls) ||
            (now < t->kept_due_ms && !atomic_load(&l->commit.stopping))) {
            continue;
        }
        if (li_kept_seal(t->calls, &w->calls[i].octets, &w->calls[i].n) != E_OK) {
            LOG(LV_ERROR, "calls.not_kept", KV("file", (const char *)t->calls_file));
            t->kept_due_ms = now + 100 * COMMIT_MS;
        }
        w->calls[i].ms = clock_mono_ms(clock_system()) - now;
        any = any || w->calls[i].octets != NULL;
    }
    return any;
}

/* False: nothing, or no memory to remember it by: the next time. */
static bool collect(struct li *l, struct work *w)
{
    size_t n = 0;
    bool any = false;

    for (size_t i = 0; i < l->n_places; i++) {
        n += l->place[i]->is_dirty;
    }
    w->v = n > 0 ? mem_zalloc_array(n, sizeof *w->v) : NULL;
    if (n > 0 && w->v == NULL) {
        return false;
    }
    w->whole = n > SYNC_EACH_MAX;
    for (size_t i = 0; i < l->n_places; i++) {
        struct li_place_run *p = l->place[i];
        if (p->is_dirty) {
            p->is_dirty = false;
            p->is_syncing = true;
            w->v[w->n].place = p;
            spool_sync_begin(p->spool, w->whole, &w->v[w->n++].dirty);
        }
    }
    any = collect_calls(l, w);
    for (unsigned i = 0; i < LI_POSITIONS_MAX; i++) {
        w->position[i] = l->commit.position[i];
        l->commit.position[i].is_new = false;
        any = any || w->position[i].is_new;
    }
    return w->n > 0 || any;
}

void li_commit_offer(struct li *l, unsigned slot, const char *file, const void *position,
                     size_t bytes)
{
    struct li_commit_position *p = &l->commit.position[slot];

    BUG_ON(slot >= LI_POSITIONS_MAX || bytes > sizeof p->octets);
    snprintf(p->file, sizeof p->file, "%s", file);
    memcpy(p->octets, position, bytes);
    p->bytes = bytes;
    p->is_new = true;
}

/* ---- onto the disk -----------------------------------------------------------------------------
 */
static bool sync_all(const struct li *l)
{
    int fd = open(l->spool, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && syncfs(fd) == 0;

    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

static bool sync_spools(struct li *l, struct work *w)
{
    bool ok = !w->whole || sync_all(l);

    if (!ok && !l->commit.has_failed) {
        LOG(LV_ERROR, "spool.sync_failed", KV("folder", (const char *)l->spool));
    }
    for (size_t i = 0; i < w->n; i++) {
        enum err e = spool_sync_end(w->v[i].place->spool, w->whole, &w->v[i].dirty);
        if (e != E_OK && ok && !l->commit.has_failed) {
            LOG(LV_ERROR, "spool.sync_failed", KV("order", w->v[i].place->order), KV_ERR(e));
        }
        ok = e == E_OK && ok;
    }
    return ok;
}

static bool write_position(const struct li_commit_position *p)
{
    char temp[LI_FILE_BYTES + 8];
    int fd = -1;
    bool ok = false;

    snprintf(temp, sizeof temp, "%s.new", p->file);
    fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0) {
        ok = write(fd, p->octets, p->bytes) == (ssize_t)p->bytes;
        ok = fdatasync(fd) == 0 && ok;
        close(fd);
    }
    return ok && rename(temp, p->file) == 0;
}

static bool write_positions(struct li *l, const struct work *w)
{
    bool ok = true;

    for (unsigned i = 0; i < LI_POSITIONS_MAX; i++) {
        const struct li_commit_position *p = &w->position[i];
        if (p->is_new && !write_position(p)) {
            if (!l->commit.position_failed && ok) {
                LOG(LV_ERROR, "position.not_kept", KV("file", p->file));
            }
            ok = false;
        }
    }
    return ok;
}

/* Before the positions: what they say is read need not be in the tap any more. Without them less is
 * known after a restart, and nothing that waits is lost. */
static void write_calls(struct li *l, struct work *w, unsigned i)
{
    struct li_tap *t = &l->tap[i];
    uint64_t now = clock_mono_ms(clock_system());
    enum err e = E_OK;

    if (w->calls[i].octets == NULL) {
        return;
    }
    e = li_kept_put(t->calls_file, w->calls[i].octets, w->calls[i].n);
    pthread_mutex_lock(&l->lock);
    t->kept_due_ms = now + KEEP_SHARE * w->calls[i].ms;
    if (e != E_OK) {
        LOG(LV_ERROR, "calls.not_kept", KV("file", (const char *)t->calls_file), KV_ERR(e));
        li_kept_failed(t->calls);
        t->kept_due_ms = now + 100 * COMMIT_MS;
    }
    pthread_mutex_unlock(&l->lock);
}

/* What did not come to the disk is tried again; a newer position takes the place of that one. */
static void put_back(struct li *l, const struct work *w, bool synced, bool written)
{
    for (size_t i = 0; i < w->n; i++) {
        w->v[i].place->is_syncing = false;
        w->v[i].place->is_dirty = w->v[i].place->is_dirty || !synced;
    }
    for (unsigned i = 0; i < LI_POSITIONS_MAX && (!synced || !written); i++) {
        if (w->position[i].is_new && !l->commit.position[i].is_new) {
            l->commit.position[i] = w->position[i];
        }
    }
    l->commit.has_failed = !synced;
    l->commit.position_failed = !written;
}

static void commit(struct li *l)
{
    struct work w = {.n = 0};
    bool any = false, synced = false, written = false;

    pthread_mutex_lock(&l->lock);
    any = collect(l, &w);
    pthread_mutex_unlock(&l->lock);
    if (any) {
        synced = sync_spools(l, &w);
        for (unsigned i = 0; i < LI_TAPS && synced; i++) {
            write_calls(l, &w, i);
        }
        written = synced && write_positions(l, &w);
        pthread_mutex_lock(&l->lock);
        for (unsigned i = 0; i < LI_TAPS && !synced; i++) {
            if (w.calls[i].octets != NULL) {
                li_kept_failed(l->tap[i].calls);
            }
        }
        put_back(l, &w, synced, written || !synced);
        pthread_mutex_unlock(&l->lock);
    }
    for (unsigned i = 0; i < LI_TAPS; i++) {
        mem_free(w.calls[i].octets);
    }
    mem_free(w.v);
}

/* ---- the thread --------------------------------------------------------------------------------
 */
static void *run(void *arg)
{
    struct li *l = arg;

    while (!atomic_load(&l->commit.stopping)) {
        commit(l);
        IGNORE(poll(NULL, 0, COMMIT_MS) == 0 ? E_OK : E_IO, "a signal only shortens it");
    }
    commit(l);
    return NULL;
}

enum err li_commit_start(struct li *l)
{
    l->commit.is_running = pthread_create(&l->commit.thread, NULL, run, l) == 0;
    return l->commit.is_running ? E_OK : FAIL(E_NOMEM);
}

void li_commit_stop(struct li *l)
{
    if (l->commit.is_running) {
        atomic_store(&l->commit.stopping, true);
        pthread_join(l->commit.thread, NULL);
        l->commit.is_running = false;
    }
}
