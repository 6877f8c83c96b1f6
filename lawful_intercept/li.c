/* The two threads of headgate-li: one reads the taps, one follows orders and the directory. */
#include "lawful_intercept/li.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "lawful_intercept/li_int.h"

enum { TAP_LOOK_MS = 20, TICK_MS = 250, STORE_LOOK_MS = 500 };

/* ---- the taps ----------------------------------------------------------------------------------
 */
/* Nothing is read before it is known for whom; the directory is waited for only so long. */
static bool may_read(struct li *l)
{
    return atomic_load(&l->orders_known) &&
           (atomic_load(&l->directory_known) || l->counts.records > 0 ||
            clock_mono_ms(clock_system()) >= l->opened_ms + LI_DIRECTORY_WAIT_MS);
}

/* The orders that are active, as the calls want them. */
static void follow_orders(struct li *l, uint64_t now_us)
{
    size_t n = li_book_orders(l->book), used = 0;
    struct li_order *v = n > 0 ? mem_zalloc_array(n, sizeof *v) : NULL;
    struct li_orders all = {v, 0};

    for (size_t i = 0; v != NULL && i < n; i++) {
        const struct li_entry *entry = li_book_order_at(l->book, i);
        const struct li_agency *agency = li_book_agency(l->book, entry->agency);
        const char *ended = json_string_value(json_object_get(entry->json, "ended_at"));
        if (agency == NULL || (!entry->is_active && ended == NULL)) {
            continue;
        }
        v[used] = entry->order;
        v[used].version = agency->version;
        if (ended != NULL) { /* ended early: known until its contents are closed */
            uint64_t at = 0;
            v[used].ends_us =
                li_time_read(ended, &at) && at < v[used].ends_us ? at : v[used].ends_us;
        }
        used++;
    }
    all.n = used;
    for (unsigned i = 0; i < LI_TAPS; i++) {
        if (li_calls_orders(l->tap[i].calls, &all) != E_OK) {
            LOG(LV_ERROR, "orders.not_taken", KV_ERR(E_NOMEM));
            atomic_store(&l->book_changed, true);
        }
    }
    mem_free(v);
    li_places_follow(l, now_us);
}

static void count(struct li *l, uint64_t now_us)
{
    struct li_calls_facts f;
    struct li_enrolled_facts g;

    l->counts.calls = 0;
    l->counts.tap_up = true;
    for (unsigned i = 0; i < LI_TAPS; i++) {
        const struct li_tap *t = &l->tap[i];
        li_calls_facts_of(t->calls, &f);
        l->counts.calls += f.calls;
        if (t->enrolled != NULL) {
            li_enrolled_facts_of(t->enrolled, &g);
            l->counts.bad_keys = g.bad_keys;
        }
        l->counts.tap_up = l->counts.tap_up && (t->reader != NULL || t->file[0] == 0);
    }
    l->counts.orders_active = 0;
    for (size_t i = 0; i < li_book_orders(l->book); i++) {
        l->counts.orders_active +=
            strcmp(li_state_of(li_book_order_at(l->book, i), now_us), "active") == 0;
    }
    li_places_watch(l, now_us);
}

static void tick(struct li *l, uint64_t now_us)
{
    for (unsigned i = 0; i < LI_TAPS; i++) {
        if (li_tap_is_caught_up(&l->tap[i])) {
            li_calls_tick(l->tap[i].calls, now_us);
        }
    }
}

static void *run_tap(void *arg)
{
    struct li *l = arg;
    uint64_t tick_ms = 0;

    while (!atomic_load(&l->stopping)) {
        uint64_t now_us = clock_wall_us(clock_system()), mono = clock_mono_ms(clock_system());
        bool any = false, may = false;
        pthread_mutex_lock(&l->lock);
        may = may_read(l); /* asked first: what is known then is followed before it is read for */
        if (atomic_exchange(&l->book_changed, false)) {
            follow_orders(l, now_us);
        }
        any = li_taps_read(l, may);
        li_places_wake(l);
        li_taps_settle(l);
        if (mono >= tick_ms) {
            if (may) { /* before, calls of the last run have no orders yet */
                tick(l, now_us);
            }
            li_places_wake(l);
            li_places_follow(l, now_us);
            count(l, now_us);
            tick_ms = mono + TICK_MS;
        }
        pthread_mutex_unlock(&l->lock);
        if (!any) {
            IGNORE(poll(NULL, 0, TAP_LOOK_MS) == 0 ? E_OK : E_IO, "a signal only shortens it");
        }
    }
    return NULL;
}

/* ---- orders ------------------------------------------------------------------------------------
 */
static enum err on_item(void *arg, enum li_kind kind, const json_t *item)
{
    struct li *l = arg;
    enum err e = E_OK;

    pthread_mutex_lock(&l->lock);
    e = kind == LI_ITEM_AGENCY ? li_book_load_agency(l->book, item)
                               : li_book_load_order(l->book, item);
    pthread_mutex_unlock(&l->lock);
    atomic_store(&l->directory_known,
                 false); /* a new target may be a number that is known already */
    atomic_store(&l->book_changed, true);
    return e;
}

static void *run_store(void *arg)
{
    struct li *l = arg;

    while (!atomic_load(&l->stopping)) {
        bool from_copy = false, up = false;
        if (li_store_read(l->cfg.store, on_item, l, &from_copy) == E_OK) {
            atomic_store(&l->orders_known, true);
        }
        up = li_store_is_up(l->cfg.store);
        pthread_mutex_lock(&l->lock);
        l->counts.store_up = up;
        pthread_mutex_unlock(&l->lock);
        li_directory_follow(l);
        for (unsigned i = 0; i < STORE_LOOK_MS / 50 && !atomic_load(&l->stopping); i++) {
            IGNORE(poll(NULL, 0, 50) == 0 ? E_OK : E_IO, "a signal only shortens it");
        }
    }
    return NULL;
}

/* ---- life --------------------------------------------------------------------------------------
 */
static enum err copy_texts(struct li *l, const struct li_cfg *cfg)
{
    enum err e = view_to_cstr(view_of(cfg->element), l->element, sizeof l->element);

    TRY(e);
    TRY(view_to_cstr(view_of(cfg->spool), l->spool, sizeof l->spool));
    TRY(view_to_cstr(view_of(cfg->position), l->position_file, sizeof l->position_file));
    TRY(view_to_cstr(view_of(cfg->directory), l->directory, sizeof l->directory));
out:
    return e;
}

static enum err start_threads(struct li *l)
{
    l->has_tap_thread = pthread_create(&l->tap_thread, NULL, run_tap, l) == 0;
    l->has_store_thread = pthread_create(&l->store_thread, NULL, run_store, l) == 0;
    return l->has_tap_thread && l->has_store_thread ? li_commit_start(l) : FAIL(E_NOMEM);
}

enum err li_open(const struct li_cfg *cfg, struct li **out)
{
    struct li *l = mem_zalloc(sizeof *l);
    enum err e = E_OK;

    if (l == NULL) {
        return FAIL(E_NOMEM);
    }
    l->cfg = *cfg;
    l->opened_ms = clock_mono_ms(clock_system());
    pthread_mutex_init(&l->lock, NULL);
    pthread_mutex_init(&l->officers, NULL);
    TRY(copy_texts(l, cfg));
    l->key = secret_alloc(sizeof *l->key);
    l->octets = mem_zalloc(CDC_MAX);
    if (l->key == NULL || l->octets == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    TRY(secret_set(l->key, cfg->key->b, cfg->key->n));
    l->enrolment_keys = secret_alloc(LI_ENROLMENT_KEYS_MAX * sizeof *l->enrolment_keys);
    if (l->enrolment_keys == NULL || cfg->n_enrolment_keys > LI_ENROLMENT_KEYS_MAX) {
        TRY(FAIL(l->enrolment_keys == NULL ? E_NOMEM : E_RANGE));
    }
    for (size_t i = 0; i < cfg->n_enrolment_keys; i++) {
        l->enrolment_keys[i] = cfg->enrolment_keys[i];
    }
    l->cfg.key = l->key;
    TRY(li_book_new(&l->book));
    TRY(li_taps_open(l, cfg));
    if (mkdir(l->spool, 0700) != 0 && errno != EEXIST) {
        TRY(FAIL(E_IO));
    }
    TRY(start_threads(l));
    *out = l;
    l = NULL;
out:
    li_close(l, 0);
    return e;
}

void li_close(struct li *l, unsigned linger_ms)
{
    if (l == NULL) {
        return;
    }
    atomic_store(&l->stopping, true);
    if (l->has_tap_thread) {
        pthread_join(l->tap_thread, NULL);
    }
    if (l->has_store_thread) {
        pthread_join(l->store_thread, NULL);
    }
    li_commit_stop(l);
    li_places_close(l, linger_ms);
    li_taps_close(l);
    li_book_free(l->book);
    pg_sync_close(l->db);
    if (l->octets != NULL) {
        wipe(l->octets, CDC_MAX);
    }
    mem_free(l->octets);
    secret_release(l->key, sizeof *l->key);
    secret_release(l->enrolment_keys, LI_ENROLMENT_KEYS_MAX * sizeof *l->enrolment_keys);
    pthread_mutex_destroy(&l->lock);
    pthread_mutex_destroy(&l->officers);
    mem_free(l);
}

void li_counts_of(struct li *l, struct li_counts *out)
{
    pthread_mutex_lock(&l->lock);
    *out = l->counts;
    pthread_mutex_unlock(&l->lock);
}
