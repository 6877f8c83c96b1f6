/* Remote gates through Redis: one thread with a loop, which publishes sealed commands, fetches the
 * answers, and looks who is there. Askers wait on a condition. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "admin_api/gates_int.h"
#include "base/crypto.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/redis.h"
#include "gc/command.h"

enum {
    LOOK_MS = 1000,
    FIRST_LOOK_MS = 1500, /* an open waits so long at most for the first look */
    POLL_MIN_MS = 5,
    POLL_MAX_MS = 40,
    QUEUE_MAX = 10000
};

struct gate_remote_ask {
    struct gate_remote_ask *next; /* in the queue to the thread */
    struct gates_redis *r;
    unsigned refs; /* asker, thread until it is over, each reply that is still to come; locked */
    bool is_over;  /* locked */
    enum err e;
    char node[GATE_NAME_MAX];
    uint64_t deadline_ms;
    struct command_head head;
    struct loop_timer poll, limit;
    uint64_t every_ms;
    char *answer;
    size_t answer_n, request_n;
    char request[];
};

struct known { /* a remote node */
    char name[GATE_NAME_MAX];
    uint64_t seen_ms;
};

struct gates_redis {
    pthread_t thread;
    bool runs;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct loop *loop;
    struct loop_wake *wake;
    struct loop_timer look;
    struct redis *redis;
    struct secret *key; /* in locked memory */
    char *address, *user, *password;
    struct gate_remote_ask *queue; /* locked */
    struct known known[GATES_MAX]; /* locked */
    size_t n_known;
    bool looked;      /* locked */
    unsigned looking; /* replies of a look that are still to come */
};

static void lock(struct gates_redis *r)
{
    BUG_ON(pthread_mutex_lock(&r->lock) != 0);
}

static void unlock(struct gates_redis *r)
{
    BUG_ON(pthread_mutex_unlock(&r->lock) != 0);
}

/* ---- one question ------------------------------------------------------------------------------
 */
static void release(struct gate_remote_ask *a)
{
    struct gates_redis *r = a->r;
    bool last = false;

    lock(r);
    last = --a->refs == 0;
    unlock(r);
    if (last) {
        wipe(a->request, a->request_n); /* it may hold a password */
        mem_free(a->answer);
        mem_free(a);
    }
}

static void hold(struct gate_remote_ask *a)
{
    lock(a->r);
    a->refs++;
    unlock(a->r);
}

/* Loop thread. Twice is harmless. answer is moved. */
static void over(struct gate_remote_ask *a, enum err e, char *answer, size_t n)
{
    struct gates_redis *r = a->r;
    bool now = false;

    lock(r);
    now = !a->is_over;
    if (now) {
        a->is_over = true;
        a->e = e;
        a->answer = answer;
        a->answer_n = n;
        pthread_cond_broadcast(&r->changed);
    }
    unlock(r);
    if (now) {
        loop_timer_stop(r->loop, &a->poll);
        loop_timer_stop(r->loop, &a->limit);
        release(a);
    } else {
        mem_free(answer);
    }
}

static void on_limit(void *arg)
{
    over(arg, E_IO, NULL, 0);
}

static void command(struct gate_remote_ask *a, const struct view *argv, size_t argc, redis_fn *fn)
{
    hold(a);
    if (redis_cmd(a->r->redis, argv, argc, fn, a) != E_OK) {
        over(a, E_IO, NULL, 0);
        release(a);
    }
}

static void take_answer(struct gate_remote_ask *a, struct view sealed)
{
    struct command_head head;
    char *plain = mem_zalloc(sealed.n + 1);
    size_t n = 0;
    enum err e = plain != NULL ? E_OK : FAIL(E_NOMEM);

    if (e == E_OK) {
        e = command_open(a->r->key, VIEW("answer"), view_of(a->node), sealed, &head, plain,
                         sealed.n, &n);
    }
    if (e == E_OK && memcmp(head.id, a->head.id, sizeof head.id) != 0) {
        e = FAIL(E_AUTH); /* another question's, put in its place */
    }
    if (e != E_OK) {
        LOG(LV_WARN, "gates.answer_refused", KV("node", (const char *)a->node), KV_ERR(e));
        mem_free(plain);
        plain = NULL;
    }
    over(a, e == E_OK ? E_OK : E_IO, plain, n);
}

static void on_poll(void *arg);

static void on_answer(void *arg, enum err e, const struct redis_reply *reply)
{
    struct gate_remote_ask *a = arg;

    if (e != E_OK) {
        over(a, E_IO, NULL, 0);
    } else if (!a->is_over && !redis_is_nil(reply)) {
        take_answer(a, redis_text(reply));
    } else if (!a->is_over) {
        a->every_ms = a->every_ms * 3 / 2 < POLL_MAX_MS ? a->every_ms * 3 / 2 : POLL_MAX_MS;
        if (loop_timer_start(a->r->loop, &a->poll, a->every_ms, on_poll, a) != E_OK) {
            over(a, E_IO, NULL, 0);
        }
    }
    release(a);
}

static void on_poll(void *arg)
{
    struct gate_remote_ask *a = arg;
    char id[2 * COMMAND_ID_BYTES + 1], key[sizeof id + 8];
    struct view argv[2] = {VIEW("RPOP"), VIEW("")};

    hex_put(a->head.id, sizeof a->head.id, id);
    snprintf(key, sizeof key, "hg:ans:%s", id);
    argv[1] = view_of(key);
    command(a, argv, 2, on_answer);
}

/* The number of those who heard it: nobody, when the node has gone or has no key. */
static void on_published(void *arg, enum err e, const struct redis_reply *reply)
{
    struct gate_remote_ask *a = arg;

    if (e != E_OK || redis_int(reply) == 0) {
        over(a, E_IO, NULL, 0);
    } else if (!a->is_over &&
               loop_timer_start(a->r->loop, &a->poll, POLL_MIN_MS, on_poll, a) != E_OK) {
        over(a, E_IO, NULL, 0);
    }
    release(a);
}

static enum err publish(struct gate_remote_ask *a)
{
    char channel[GATE_NAME_MAX + 16];
    size_t room = a->request_n + COMMAND_SEAL_EXTRA, n = 0;
    uint8_t *sealed = mem_zalloc(room);
    struct view argv[3] = {VIEW("PUBLISH"), VIEW(""), VIEW("")};
    enum err e = sealed != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    TRY(crypto_random(a->head.id, sizeof a->head.id));
    a->head.at_us = clock_wall_us(clock_system());
    TRY(command_seal(a->r->key, VIEW("ask"), view_of(a->node), &a->head,
                     view_from(a->request, a->request_n), sealed, room, &n));
    snprintf(channel, sizeof channel, "hg:cmd:%s", a->node);
    argv[1] = view_of(channel);
    argv[2] = view_from(sealed, n);
    command(a, argv, 3, on_published);
out:
    mem_free(sealed);
    return e;
}

static void begin(struct gate_remote_ask *a)
{
    uint64_t now = loop_now_ms(a->r->loop);

    a->every_ms = POLL_MIN_MS;
    if (a->deadline_ms <= now ||
        loop_timer_start(a->r->loop, &a->limit, a->deadline_ms - now, on_limit, a) != E_OK ||
        publish(a) != E_OK) {
        over(a, E_IO, NULL, 0);
    }
}

static void on_wake(void *arg)
{
    struct gates_redis *r = arg;
    struct gate_remote_ask *a = NULL, *next = NULL;

    lock(r);
    a = r->queue;
    r->queue = NULL;
    unlock(r);
    for (; a != NULL; a = next) {
        next = a->next;
        begin(a);
    }
}

struct gate_remote_ask *gates_redis_begin(struct gates_redis *r, const char *node,
                                          struct view request, uint64_t deadline_ms)
{
    struct gate_remote_ask *a =
        request.n <= COMMAND_MAX - COMMAND_SEAL_EXTRA ? mem_zalloc(sizeof *a + request.n) : NULL;

    if (a == NULL) {
        return NULL;
    }
    a->r = r;
    a->refs = 2;
    a->deadline_ms = deadline_ms;
    snprintf(a->node, sizeof a->node, "%s", node);
    a->request_n = request.n;
    memcpy(a->request, request.p, request.n);
    lock(r);
    a->next = r->queue;
    r->queue = a;
    unlock(r);
    loop_wake_send(r->wake);
    return a;
}

enum err gates_redis_wait(struct gates_redis *r, struct gate_remote_ask *a, char **answer,
                          size_t *answer_n)
{
    enum err e = E_OK;

    lock(r);
    while (!a->is_over) { /* its limit ends it */
        BUG_ON(pthread_cond_wait(&r->changed, &r->lock) != 0);
    }
    e = a->e;
    *answer = a->answer;
    *answer_n = a->answer_n;
    a->answer = NULL; /* moved */
    unlock(r);
    release(a);
    return e;
}

/* ---- who is there ------------------------------------------------------------------------------
 */
static void saw(struct gates_redis *r, struct view key, struct view prefix)
{
    struct view name = view_sub(key, prefix.n, key.n);
    struct known *k = NULL;
    char text[GATE_NAME_MAX];

    if (!view_starts(key, prefix) || name.n == 0 || view_to_cstr(name, text, sizeof text) != E_OK) {
        return;
    }
    lock(r);
    for (size_t i = 0; i < r->n_known && k == NULL; i++) {
        k = strcmp(r->known[i].name, text) == 0 ? &r->known[i] : NULL;
    }
    if (k == NULL && r->n_known < GATES_MAX) {
        k = &r->known[r->n_known++];
        memcpy(k->name, text, sizeof text);
    }
    if (k != NULL) {
        k->seen_ms = loop_now_ms(r->loop);
    }
    unlock(r);
}

static void forget_old(struct gates_redis *r)
{
    uint64_t now = loop_now_ms(r->loop);
    size_t kept = 0;

    lock(r);
    for (size_t i = 0; i < r->n_known; i++) {
        if (now - r->known[i].seen_ms < GATES_FORGET_MS) {
            r->known[kept++] = r->known[i];
        }
    }
    r->n_known = kept;
    r->looked = true;
    pthread_cond_broadcast(&r->changed);
    unlock(r);
}

static void looked(struct gates_redis *r)
{
    if (--r->looking == 0) {
        forget_old(r);
    }
}

static void on_channels(void *arg, enum err e, const struct redis_reply *reply)
{
    struct gates_redis *r = arg;

    for (size_t i = 0; e == E_OK && i < redis_count(reply); i++) {
        saw(r, redis_text(redis_at(reply, i)), VIEW("hg:cmd:"));
    }
    looked(r);
}

static void scan_from(struct gates_redis *r, struct view cursor);

static void on_scanned(void *arg, enum err e, const struct redis_reply *reply)
{
    struct gates_redis *r = arg;
    const struct redis_reply *keys = redis_at(reply, 1);
    struct view cursor = e == E_OK ? redis_text(redis_at(reply, 0)) : VIEW("0");

    for (size_t i = 0; e == E_OK && i < redis_count(keys); i++) {
        saw(r, redis_text(redis_at(keys, i)), VIEW("hg:node:"));
    }
    if (cursor.n > 0 && !view_eq(cursor, VIEW("0"))) {
        scan_from(r, cursor);
    }
    looked(r);
}

static void scan_from(struct gates_redis *r, struct view cursor)
{
    const struct view argv[] = {VIEW("SCAN"),      cursor,        VIEW("MATCH"),
                                VIEW("hg:node:*"), VIEW("COUNT"), VIEW("1000")};

    r->looking += redis_cmd(r->redis, argv, 6, on_scanned, r) == E_OK;
}

static void look(struct gates_redis *r)
{
    const struct view argv[] = {VIEW("PUBSUB"), VIEW("CHANNELS"), VIEW("hg:cmd:*")};

    if (r->looking == 0) {
        scan_from(r, VIEW("0"));
        r->looking += redis_cmd(r->redis, argv, 3, on_channels, r) == E_OK;
    }
}

static void on_look(void *arg)
{
    struct gates_redis *r = arg;

    look(r);
    IGNORE(loop_timer_start(r->loop, &r->look, LOOK_MS, on_look, r),
           "the heap has room: this timer was in it");
}

static void on_up(void *arg, bool up)
{
    if (up) {
        look(arg);
    }
}

size_t gates_redis_nodes(struct gates_redis *r, char out[GATES_MAX][GATE_NAME_MAX])
{
    size_t n = 0;

    lock(r);
    n = r->n_known;
    for (size_t i = 0; i < n; i++) {
        memcpy(out[i], r->known[i].name, GATE_NAME_MAX);
    }
    unlock(r);
    return n;
}

/* ---- life --------------------------------------------------------------------------------------
 */
static void *run(void *arg)
{
    struct gates_redis *r = arg;

    loop_run(r->loop);
    return NULL;
}

static enum err read_key(struct gates_redis *r, const char *path, char *why, size_t why_bytes)
{
    uint8_t b[COMMAND_KEY_BYTES + 1];
    size_t n = 0;
    enum err e = secret_file_read(path, false, b, sizeof b, &n);

    if (e == E_OK && n != COMMAND_KEY_BYTES) {
        e = FAIL(E_RANGE);
    }
    r->key = secret_alloc(sizeof *r->key);
    if (e == E_OK) {
        e = r->key != NULL ? secret_set(r->key, b, n) : FAIL(E_NOMEM);
    }
    wipe(b, sizeof b);
    if (e != E_OK) {
        snprintf(why, why_bytes, "keys.command: %s: %s", path, err_text(e));
    }
    return e;
}

static enum err copy_text(const char *text, char **out)
{
    *out = text != NULL && text[0] != 0 ? mem_strdup(text) : NULL;
    return text == NULL || text[0] == 0 || *out != NULL ? E_OK : FAIL(E_NOMEM);
}

static enum err connect_redis(struct gates_redis *r, const struct gates_cfg *cfg, char *why,
                              size_t why_bytes)
{
    struct redis_cfg redis = {.max_queue = QUEUE_MAX, .on_up = on_up, .arg = r};
    enum err e = copy_text(cfg->redis, &r->address);

    TRY(e);
    TRY(copy_text(cfg->redis_user, &r->user));
    TRY(copy_text(cfg->redis_password, &r->password));
    redis.address = r->address;
    redis.user = r->user;
    redis.password = r->password;
    e = redis_open(r->loop, &redis, &r->redis);
    if (e != E_OK) {
        snprintf(why, why_bytes, "redis.address: %s: %s", cfg->redis, err_text(e));
    }
out:
    return e;
}

/* Redis may be away: then nobody is known yet, and that is no reason not to start. */
static void wait_first_look(struct gates_redis *r)
{
    struct timespec until;

    BUG_ON(clock_gettime(CLOCK_MONOTONIC, &until) != 0);
    until.tv_nsec += (FIRST_LOOK_MS % 1000) * 1000000l;
    until.tv_sec += FIRST_LOOK_MS / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    lock(r);
    while (!r->looked && pthread_cond_timedwait(&r->changed, &r->lock, &until) == 0) {
    }
    unlock(r);
}

static void init_locks(struct gates_redis *r)
{
    pthread_condattr_t attr;

    BUG_ON(pthread_mutex_init(&r->lock, NULL) != 0);
    BUG_ON(pthread_condattr_init(&attr) != 0);
    BUG_ON(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) != 0);
    BUG_ON(pthread_cond_init(&r->changed, &attr) != 0);
    (void)pthread_condattr_destroy(&attr);
}

enum err gates_redis_open(const struct gates_cfg *cfg, struct gates_redis **out, char *why,
                          size_t why_bytes)
{
    struct gates_redis *r = mem_zalloc(sizeof *r);
    enum err e = r != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    init_locks(r);
    TRY(read_key(r, cfg->command_key, why, why_bytes));
    TRY(loop_new(clock_system(), &r->loop));
    TRY(loop_wake_new(r->loop, on_wake, r, &r->wake));
    TRY(loop_timer_start(r->loop, &r->look, LOOK_MS, on_look, r));
    TRY(connect_redis(r, cfg, why, why_bytes));
    if (pthread_create(&r->thread, NULL, run, r) != 0) {
        TRY(FAIL(E_NOMEM));
    }
    r->runs = true;
    (void)pthread_setname_np(r->thread, "gates");
    wait_first_look(r);
    *out = r;
    r = NULL;
out:
    gates_redis_close(r);
    return e;
}

void gates_redis_close(struct gates_redis *r)
{
    if (r == NULL) {
        return;
    }
    if (r->runs) {
        loop_stop(r->loop);
        BUG_ON(pthread_join(r->thread, NULL) != 0);
    }
    redis_close(r->redis); /* what it still owes is answered: lost */
    if (r->loop != NULL) {
        loop_timer_stop(r->loop, &r->look);
        loop_wake_free(r->wake);
        loop_free(r->loop);
    }
    secret_release(r->key, sizeof *r->key);
    mem_free(r->address);
    mem_free(r->user);
    mem_free(r->password);
    (void)pthread_cond_destroy(&r->changed);
    (void)pthread_mutex_destroy(&r->lock);
    mem_free(r);
}
