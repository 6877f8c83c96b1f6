/* Connections to the database, opened when they are needed. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "admin_api/api_int.h"
#include "base/log.h"
#include "base/mem.h"

enum { POOL_MAX = 64, CONNINFO_MAX = 1024, SILENT_MS = 8000 };

struct api_pool {
    pthread_mutex_t lock;
    pthread_cond_t freed;
    char conninfo[CONNINFO_MAX];
    unsigned most, out; /* out: taken, or being opened */
    struct pg_sync *idle[POOL_MAX];
    unsigned idles;
};

/* A server that hangs, or a network that drops what we say, costs seconds. */
static const char SESSION[] =
    "SET statement_timeout = '5s'; SET lock_timeout = '2s'; "
    "SET idle_in_transaction_session_timeout = '30s'; SET TimeZone = 'UTC'; "
    "SET application_name = 'headgate-admin'";

enum err api_db_open(const char *conninfo, struct pg_sync **out)
{
    char why[256];
    struct pg_sync *db = NULL;
    enum err e = pg_sync_open(conninfo, &db, why, sizeof why);

    if (e == E_OK) {
        e = pg_sync_script(db, SESSION, why, sizeof why);
        pg_sync_limit(db, SILENT_MS);
    }
    if (e != E_OK) {
        LOG(LV_WARN, "admin.database_down", KV("why", why));
        pg_sync_close(db);
        return FAIL(E_IO);
    }
    *out = db;
    return E_OK;
}

enum err api_pool_new(const char *conninfo, unsigned n, struct api_pool **out)
{
    struct api_pool *p = mem_zalloc(sizeof *p);
    pthread_condattr_t attr;

    if (p == NULL) {
        return FAIL(E_NOMEM);
    }
    bool bounded = strstr(conninfo, "connect_timeout") != NULL;
    int len = snprintf(p->conninfo, sizeof p->conninfo, "%s%s", conninfo,
                       bounded ? "" : " connect_timeout=3 tcp_user_timeout=10000");
    if (len < 0 || (size_t)len >= sizeof p->conninfo) {
        mem_free(p);
        return FAIL(E_RANGE);
    }
    p->most = n == 0 ? 1 : n > POOL_MAX ? POOL_MAX : n;
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&p->freed, &attr);
    pthread_condattr_destroy(&attr);
    *out = p;
    return E_OK;
}

void api_pool_free(struct api_pool *p)
{
    if (p == NULL) {
        return;
    }
    BUG_ON(p->out != 0); /* the server was closed before */
    for (unsigned i = 0; i < p->idles; i++) {
        pg_sync_close(p->idle[i]);
    }
    pthread_cond_destroy(&p->freed);
    pthread_mutex_destroy(&p->lock);
    mem_free(p);
}

/* With the lock. */
static enum err wait_for_one(struct api_pool *p, unsigned wait_ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    while (p->out >= p->most) {
        if (pthread_cond_timedwait(&p->freed, &p->lock, &until) != 0 && p->out >= p->most) {
            return FAIL(E_TIMEOUT);
        }
    }
    return E_OK;
}

enum err api_pool_take(struct api_pool *p, unsigned wait_ms, struct pg_sync **out)
{
    struct pg_sync *db = NULL;

    pthread_mutex_lock(&p->lock);
    enum err e = wait_for_one(p, wait_ms);
    if (e == E_OK) {
        p->out++;
        db = p->idles > 0 ? p->idle[--p->idles] : NULL;
    }
    pthread_mutex_unlock(&p->lock);
    if (e == E_OK && db == NULL) {
        e = api_db_open(p->conninfo, &db);
        if (e != E_OK) {
            api_pool_give(p, NULL, true);
        }
    }
    if (e == E_OK) {
        *out = db;
    }
    return e;
}

void api_pool_give(struct api_pool *p, struct pg_sync *db, bool is_lost)
{
    pthread_mutex_lock(&p->lock);
    p->out--;
    if (!is_lost) {
        p->idle[p->idles++] = db;
        db = NULL;
    }
    pthread_cond_signal(&p->freed);
    pthread_mutex_unlock(&p->lock);
    pg_sync_close(db);
}

struct pg_sync *api_db_of_stream(struct api *a)
{
    struct pg_sync *db = NULL;

    return api_db_open(a->pool->conninfo, &db) == E_OK ? db : NULL;
}
