/* Who is there, and the same or each its own question to all of them at once. */
#include "admin_api/gates.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin_api/gates_int.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/secret.h"

enum { NAME_MS = 1000 }; /* a local node says its name in that time */

struct local {
    char path[GATES_PATH_MAX];
    char node[GATE_NAME_MAX]; /* empty: not known yet, or it was silent since; locked */
};

struct gates {
    pthread_mutex_t lock;
    struct local local[GATES_SOCKETS_MAX];
    size_t n_local;
    struct gates_redis *redis; /* NULL: sockets only */
};

struct ask { /* one node */
    struct gate_answer *out;
    struct local *local; /* NULL: remote */
    char *request;       /* NULL: it is not asked */
    size_t request_n;
    struct gate_remote_ask *remote;
};

static void lock(struct gates *g)
{
    BUG_ON(pthread_mutex_lock(&g->lock) != 0);
}

static void unlock(struct gates *g)
{
    BUG_ON(pthread_mutex_unlock(&g->lock) != 0);
}

/* ---- questions and answers as octets -----------------------------------------------------------
 */
/* One line in mem_ memory; NULL: no memory. */
static char *line_of(const json_t *request, size_t *n)
{
    size_t need = json_dumpb(request, NULL, 0, JSON_COMPACT);
    char *line = need > 0 ? mem_zalloc(need + 1) : NULL;

    if (line != NULL && json_dumpb(request, line, need, JSON_COMPACT) == need) {
        line[need] = '\n';
        *n = need + 1;
        return line;
    }
    mem_free(line);
    return NULL;
}

/* What a node said, or that it did not. line is moved. */
static void understand(struct gate_answer *out, enum err e, char *line, size_t n)
{
    out->e = E_IO;
    out->answer = e == E_OK ? json_loadb(line, n, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (json_is_object(out->answer)) {
        out->e = json_is_true(json_object_get(out->answer, "ok")) ? E_OK : E_STATE;
    } else {
        json_decref(out->answer);
        out->answer = NULL;
    }
    if (line != NULL) {
        wipe(line, n);
    }
    mem_free(line);
}

const char *gate_error(const struct gate_answer *a)
{
    const char *text = json_string_value(json_object_get(a->answer, "error"));

    return text != NULL ? text : "";
}

/* ---- names of local nodes ----------------------------------------------------------------------
 */
static void learn_names(struct gates *g)
{
    static const char STATUS[] = "{\"op\":\"status\"}\n";
    struct gate_socket_ask a[GATES_SOCKETS_MAX];
    struct local *whose[GATES_SOCKETS_MAX];
    size_t n = 0;

    lock(g);
    for (size_t i = 0; i < g->n_local; i++) {
        if (g->local[i].node[0] == 0) {
            whose[n] = &g->local[i];
            a[n++] = (struct gate_socket_ask){.path = g->local[i].path, .request = view_of(STATUS)};
        }
    }
    unlock(g);
    gate_sockets_run(a, n, clock_mono_ms(clock_system()) + NAME_MS);
    for (size_t i = 0; i < n; i++) {
        struct gate_answer said = {.e = E_IO};
        const char *node = NULL;
        understand(&said, a[i].e, a[i].answer, a[i].answer_n);
        node = json_string_value(json_object_get(said.answer, "node"));
        lock(g);
        if (node != NULL && strlen(node) < GATE_NAME_MAX) {
            memcpy(whose[i]->node, node, strlen(node) + 1);
        }
        unlock(g);
        json_decref(said.answer);
    }
}

/* One that never said its name goes by that of its socket. */
static void name_of(const struct local *l, char dst[GATE_NAME_MAX])
{
    const char *slash = strrchr(l->path, '/');

    snprintf(dst, GATE_NAME_MAX, "%.*s", GATE_NAME_MAX - 1,
             l->node[0] != 0 ? l->node : (slash != NULL ? slash + 1 : l->path));
}

/* ---- everybody ---------------------------------------------------------------------------------
 */
static int by_name(const void *va, const void *vb)
{
    const struct ask *a = va, *b = vb;

    return strcmp(a->out->node, b->out->node);
}

static bool has(const struct ask *all, size_t n, const char *node)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(all[i].out->node, node) == 0) {
            return true;
        }
    }
    return false;
}

static size_t everybody(struct gates *g, struct ask all[GATES_MAX], struct gate_answer *out)
{
    char(*remote)[GATE_NAME_MAX] = mem_zalloc_array(GATES_MAX, GATE_NAME_MAX);
    size_t n = 0, n_remote = 0;

    learn_names(g);
    lock(g);
    for (size_t i = 0; i < g->n_local && n < GATES_MAX; i++) {
        out[n] = (struct gate_answer){.e = E_IO, .is_local = true};
        name_of(&g->local[i], out[n].node);
        all[n] = (struct ask){.out = &out[n], .local = &g->local[i]};
        n++;
    }
    unlock(g);
    if (g->redis != NULL && remote != NULL) {
        n_remote = gates_redis_nodes(g->redis, remote);
    }
    for (size_t i = 0; i < n_remote && n < GATES_MAX; i++) {
        if (!has(all, n, remote[i])) {
            out[n] = (struct gate_answer){.e = E_IO};
            memcpy(out[n].node, remote[i], GATE_NAME_MAX);
            all[n] = (struct ask){.out = &out[n]};
            n++;
        }
    }
    mem_free(remote);
    return n;
}

/* ---- asking ------------------------------------------------------------------------------------
 */
static void begin_remote(struct gates *g, struct ask *all, size_t n, uint64_t deadline)
{
    for (size_t i = 0; i < n; i++) {
        if (all[i].local == NULL && all[i].request != NULL) {
            all[i].remote = gates_redis_begin(
                g->redis, all[i].out->node, view_from(all[i].request, all[i].request_n), deadline);
        }
    }
}

static void ask_local(struct gates *g, struct ask *all, size_t n, uint64_t deadline)
{
    struct gate_socket_ask a[GATES_SOCKETS_MAX];
    struct ask *whose[GATES_SOCKETS_MAX];
    size_t k = 0;

    for (size_t i = 0; i < n; i++) {
        if (all[i].local != NULL && all[i].request != NULL) {
            a[k] = (struct gate_socket_ask){.path = all[i].local->path,
                                            .request = view_from(all[i].request, all[i].request_n)};
            whose[k++] = &all[i];
        }
    }
    gate_sockets_run(a, k, deadline);
    for (size_t i = 0; i < k; i++) {
        understand(whose[i]->out, a[i].e, a[i].answer, a[i].answer_n);
        if (whose[i]->out->e == E_IO) {
            lock(g);
            whose[i]->local->node[0] = 0; /* whoever comes back may be another */
            unlock(g);
        }
    }
}

static void ask_them(struct gates *g, struct ask *all, size_t n, unsigned timeout_ms)
{
    uint64_t deadline = clock_mono_ms(clock_system()) + timeout_ms;

    begin_remote(g, all, n, deadline);
    ask_local(g, all, n, deadline);
    for (size_t i = 0; i < n; i++) {
        if (all[i].remote != NULL) {
            char *line = NULL;
            size_t line_n = 0;
            enum err e = gates_redis_wait(g->redis, all[i].remote, &line, &line_n);
            understand(all[i].out, e, line, line_n);
        }
        if (all[i].request != NULL) {
            wipe(all[i].request, all[i].request_n); /* it may hold a password */
            mem_free(all[i].request);
        }
    }
}

/* Moves those that were asked to the front, by name. */
static size_t put_in_order(struct ask *all, size_t n, struct gate_answer *out)
{
    struct gate_answer *sorted = mem_zalloc_array(n > 0 ? n : 1, sizeof *sorted);

    if (sorted == NULL) {
        return n; /* as they came */
    }
    qsort(all, n, sizeof *all, by_name);
    for (size_t i = 0; i < n; i++) {
        sorted[i] = *all[i].out;
    }
    memcpy(out, sorted, n * sizeof *out);
    mem_free(sorted);
    return n;
}

static json_t *same(void *arg, const char *node)
{
    (void)node;
    return json_incref(arg);
}

size_t gates_ask_all(struct gates *g, const json_t *request, unsigned timeout_ms,
                     struct gate_answer out[GATES_MAX])
{
    json_t *copy = json_deep_copy(request); /* counted by this thread alone */
    size_t n = gates_ask_each(g, same, copy, timeout_ms, out);

    json_decref(copy);
    return n;
}

size_t gates_ask_each(struct gates *g, gates_make_fn *make, void *arg, unsigned timeout_ms,
                      struct gate_answer out[GATES_MAX])
{
    struct ask all[GATES_MAX];
    size_t n = everybody(g, all, out), kept = 0;

    for (size_t i = 0; i < n; i++) {
        json_t *request = make(arg, out[i].node);
        if (request == NULL) {
            continue;
        }
        out[kept] = out[i];
        all[kept] = all[i];
        all[kept].out = &out[kept];
        all[kept].request = line_of(request, &all[kept].request_n);
        json_decref(request);
        kept++;
    }
    ask_them(g, all, kept, timeout_ms);
    return put_in_order(all, kept, out);
}

struct only {
    const char *node;
    json_t *request;
};

static json_t *if_it_is(void *arg, const char *node)
{
    const struct only *o = arg;

    return strcmp(o->node, node) == 0 ? json_incref(o->request) : NULL;
}

static enum err ask_one(struct gates *g, const char *node, json_t *request, unsigned timeout_ms,
                        struct gate_answer *out)
{
    struct gate_answer *all = mem_zalloc_array(GATES_MAX, sizeof *all);
    struct only only = {node, request};
    enum err e = all != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    if (gates_ask_each(g, if_it_is, &only, timeout_ms, all) == 0) {
        TRY(FAIL(E_NOTFOUND));
    }
    *out = all[0];
    e = out->e;
out:
    mem_free(all);
    return e;
}

/* Of a list of names: who is there, local ones first. */
static size_t names(struct gates *g, char out[GATES_MAX][GATE_NAME_MAX])
{
    struct gate_answer *room = mem_zalloc_array(GATES_MAX, sizeof *room);
    struct ask all[GATES_MAX];
    size_t n = room != NULL ? everybody(g, all, room) : 0;

    for (size_t i = 0; i < n; i++) {
        memcpy(out[i], room[i].node, GATE_NAME_MAX);
    }
    mem_free(room);
    return n;
}

enum err gates_ask(struct gates *g, const char *node, const json_t *request, unsigned timeout_ms,
                   struct gate_answer *out)
{
    json_t *copy = json_deep_copy(request);
    char(*all)[GATE_NAME_MAX] = NULL;
    size_t n = 0;
    enum err e = E_NOTFOUND;

    *out = (struct gate_answer){.e = E_IO};
    if (node != NULL) {
        e = ask_one(g, node, copy, timeout_ms, out);
        goto out;
    }
    all = mem_zalloc_array(GATES_MAX, GATE_NAME_MAX);
    n = all != NULL ? names(g, all) : 0;
    for (size_t i = 0; i < n && e != E_OK && e != E_STATE; i++) {
        e = ask_one(g, all[i], copy, timeout_ms, out);
    }
out:
    mem_free(all);
    json_decref(copy);
    return e;
}

void gate_answers_free(struct gate_answer *a, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        json_decref(a[i].answer);
        a[i].answer = NULL;
    }
}

/* ---- life --------------------------------------------------------------------------------------
 */
static enum err take_sockets(struct gates *g, const struct gates_cfg *cfg, char *why,
                             size_t why_bytes)
{
    for (size_t i = 0; cfg->sockets != NULL && cfg->sockets[i] != NULL; i++) {
        struct local *l = &g->local[g->n_local];
        if (g->n_local == GATES_SOCKETS_MAX ||
            view_to_cstr(view_of(cfg->sockets[i]), l->path, sizeof l->path) != E_OK) {
            snprintf(why, why_bytes, "gates.sockets: %s: at most %d paths of %d characters",
                     cfg->sockets[i], GATES_SOCKETS_MAX, GATES_PATH_MAX - 1);
            return FAIL(E_RANGE);
        }
        g->n_local++;
    }
    return E_OK;
}

static bool is_set(const char *text)
{
    return text != NULL && text[0] != 0;
}

enum err gates_open(const struct gates_cfg *cfg, struct gates **out, char *why, size_t why_bytes)
{
    struct gates *g = mem_zalloc(sizeof *g);
    enum err e = g != NULL ? E_OK : FAIL(E_NOMEM);

    snprintf(why, why_bytes, "out of memory");
    TRY(e);
    BUG_ON(pthread_mutex_init(&g->lock, NULL) != 0);
    TRY(take_sockets(g, cfg, why, why_bytes));
    if (is_set(cfg->redis) && is_set(cfg->command_key)) {
        TRY(gates_redis_open(cfg, &g->redis, why, why_bytes));
    }
    *out = g;
    g = NULL;
out:
    gates_close(g);
    return e;
}

void gates_close(struct gates *g)
{
    if (g != NULL) {
        gates_redis_close(g->redis);
        (void)pthread_mutex_destroy(&g->lock);
        mem_free(g);
    }
}
