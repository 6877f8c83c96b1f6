#include "base/pg.h"

#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/secret.h"

#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 5000
#define CONNECT_MAX_MS 10000
#define GRACE_MS       5000 /* after statement_timeout, which a server that hangs does not keep */
#define PROBE_MS       5000 /* idle time after which a server is asked whether it is there */
#define PARAMS_MAX     32
#define OCTETS_MAX     (1u << 30)

/* A pg_result is libpq's own, seen through this door only. */
static const PGresult *inner(const struct pg_result *r)
{
    return (const PGresult *)r;
}

struct query {
    struct query *next;
    char *sql;
    char *body; /* COPY */
    size_t body_n;
    bool is_copy;
    size_t n;
    char *value[PARAMS_MAX];
    int length[PARAMS_MAX], format[PARAMS_MAX];
    pg_fn *fn;
    void *arg;
};

struct pg {
    struct loop *l;
    struct pg_cfg cfg;
    PGconn *c;
    struct loop_io *io;
    struct loop_timer timer; /* back-off, limit of a connect or of a query, or time to probe */
    uint64_t backoff_ms;
    enum { PG_DOWN, PG_CONNECTING, PG_PREPARING, PG_UP } state;
    struct query *head, *tail, *running;
    size_t queued;
    PGresult *last; /* of the running query; its first error wins */
    bool closing;
};

static void start_connect(void *arg);
static void start_limit(struct pg *p);
static void on_socket(void *arg, int fd, unsigned events);

static void query_free(struct query *q)
{
    if (q != NULL) {
        for (size_t i = 0; i < q->n; i++) {
            if (q->value[i] != NULL) {
                wipe(q->value[i], (size_t)q->length[i]);
            }
            mem_free(q->value[i]);
        }
        mem_free(q->sql);
        mem_free(q->body);
        mem_free(q);
    }
}

static enum err class_of(const PGresult *r)
{
    const char *s = PQresultErrorField(r, PG_DIAG_SQLSTATE);

    if (s == NULL || strncmp(s, "08", 2) == 0 || strncmp(s, "57P", 3) == 0) {
        return E_IO;
    }
    if (strcmp(s, "42501") == 0) {
        return E_DENIED;
    }
    if (strncmp(s, "23", 2) == 0) {
        return E_EXISTS;
    }
    return strncmp(s, "22", 2) == 0 ? E_RANGE : E_STATE;
}

static enum err result_of(const PGresult *r)
{
    if (r == NULL) {
        return E_IO;
    }
    switch ((int)PQresultStatus(r)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_COPY_IN:
        return E_OK;
    default:
        return class_of(r);
    }
}

static void finish(struct pg *p, enum err e)
{
    struct query *q = p->running;
    PGresult *r = p->last;

    p->running = NULL;
    p->last = NULL;
    if (q != NULL && q->fn != NULL) {
        q->fn(q->arg, e, (const struct pg_result *)r);
    }
    PQclear(r);
    query_free(q);
}

/* ---- connection ------------------------------------------------------------------------------ */
static void fail_all(struct pg *p)
{
    if (p->running != NULL) {
        PQclear(p->last);
        p->last = NULL;
        finish(p, E_IO);
    }
    while (p->head != NULL) {
        struct query *q = p->head;
        p->head = q->next;
        p->queued--;
        if (q->fn != NULL) {
            q->fn(q->arg, E_IO, NULL);
        }
        query_free(q);
    }
    p->tail = NULL;
}

/* libpq's own words, one line of them. They name the server, never a password. */
static void log_down(const struct pg *p)
{
    const char *why = p->c != NULL ? PQerrorMessage(p->c) : "out of memory";

    LOG(LV_WARN, "postgres.down", KV("why", view_from(why, strcspn(why, "\n"))),
        KV("retry_ms", (unsigned long)p->backoff_ms));
}

static void go_down(struct pg *p)
{
    bool was_up = p->state == PG_UP;

    if (!p->closing) {
        log_down(p);
    }
    loop_io_stop(p->io);
    p->io = NULL;
    loop_timer_stop(p->l, &p->timer);
    if (p->c != NULL) {
        PQfinish(p->c);
        p->c = NULL;
    }
    p->state = PG_DOWN;
    if (was_up && p->cfg.on_up != NULL && !p->closing) {
        p->cfg.on_up(p->cfg.arg, false);
    }
    fail_all(p);
    if (!p->closing) {
        if (loop_timer_start(p->l, &p->timer, p->backoff_ms, start_connect, p) != E_OK) {
            LOG(LV_ERROR, "postgres.no_timer", KV("retry_ms", (unsigned long)p->backoff_ms));
        }
        p->backoff_ms = p->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : p->backoff_ms * 2;
    }
}

static void connect_limit(void *arg)
{
    go_down(arg);
}

static void watch(struct pg *p, unsigned events)
{
    loop_io_stop(p->io); /* the descriptor may be another one after each step of the connect */
    p->io = NULL;
    if (loop_io_start(p->l, PQsocket(p->c), events, on_socket, p, &p->io) != E_OK) {
        go_down(p);
    }
}

static void no_notice(void *arg, const PGresult *r)
{
    (void)arg;
    (void)r;
}

static void start_connect(void *arg)
{
    struct pg *p = arg;

    p->c = PQconnectStart(p->cfg.conninfo);
    if (p->c != NULL) {
        PQsetNoticeReceiver(p->c, no_notice, NULL); /* else stderr gets lines that are no log */
    }
    if (p->c == NULL || PQstatus(p->c) == CONNECTION_BAD || PQsocket(p->c) < 0) {
        go_down(p);
        return;
    }
    p->state = PG_CONNECTING;
    if (loop_timer_start(p->l, &p->timer, CONNECT_MAX_MS, connect_limit, p) != E_OK) {
        go_down(p);
        return;
    }
    watch(p, LOOP_WRITE);
}

/* statement_timeout and the LISTENs, in one round trip before anything else. */
static void prepare(struct pg *p)
{
    char sql[1024];
    int n = snprintf(sql, sizeof sql, "SET statement_timeout = %u", p->cfg.statement_timeout_ms);

    for (size_t i = 0;
         p->cfg.listen != NULL && p->cfg.listen[i] != NULL && n > 0 && (size_t)n < sizeof sql;
         i++) {
        n += snprintf(sql + n, sizeof sql - (size_t)n, "; LISTEN %s", p->cfg.listen[i]);
    }
    BUG_ON(n < 0 || (size_t)n >= sizeof sql); /* channel names are ours */
    p->state = PG_PREPARING;
    if (PQsetnonblocking(p->c, 1) != 0 || PQsendQuery(p->c, sql) != 1) {
        go_down(p);
        return;
    }
    watch(p, LOOP_READ | LOOP_WRITE);
}

static void connecting(struct pg *p)
{
    switch (PQconnectPoll(p->c)) {
    case PGRES_POLLING_OK:
        prepare(p);
        return;
    case PGRES_POLLING_READING:
        watch(p, LOOP_READ);
        return;
    case PGRES_POLLING_WRITING:
        watch(p, LOOP_WRITE);
        return;
    case PGRES_POLLING_FAILED:
    case PGRES_POLLING_ACTIVE:
        break;
    }
    go_down(p);
}

static void on_silent(void *arg)
{
    struct pg *p = arg;

    LOG(LV_WARN, "postgres.silent", KV("limit_ms", p->cfg.statement_timeout_ms + GRACE_MS));
    go_down(p);
}

static void on_idle(void *arg)
{
    struct pg *p = arg;

    if (pg_query(p, "SELECT 1", NULL, 0, NULL, NULL) != E_OK && p->state == PG_UP) {
        start_limit(p); /* no memory: the next time */
    }
}

/* One timer watches the server: how long an answer takes, and how long nothing was asked. */
static void start_limit(struct pg *p)
{
    uint64_t after = p->running == NULL ? PROBE_MS : p->cfg.statement_timeout_ms + GRACE_MS;

    if (p->running != NULL && p->cfg.statement_timeout_ms == 0) {
        loop_timer_stop(p->l, &p->timer); /* asked to wait for ever */
    } else if (loop_timer_start(p->l, &p->timer, after, p->running == NULL ? on_idle : on_silent,
                                p) != E_OK) {
        LOG(LV_ERROR, "postgres.no_timer", KV("retry_ms", (unsigned long)after));
    }
}

static void now_up(struct pg *p)
{
    loop_timer_stop(p->l, &p->timer);
    p->state = PG_UP;
    p->backoff_ms = BACKOFF_MIN_MS;
    start_limit(p);
    LOG(LV_INFO, "postgres.up", KV("server", PQserverVersion(p->c)));
    if (p->cfg.on_up != NULL) {
        p->cfg.on_up(p->cfg.arg, true);
    }
}

/* ---- queries --------------------------------------------------------------------------------- */
static void send_next(struct pg *p)
{
    struct query *q = p->head;
    int ok = 0;

    if (p->state != PG_UP || p->running != NULL || q == NULL) {
        return;
    }
    p->head = q->next;
    p->tail = p->head == NULL ? NULL : p->tail;
    p->queued--;
    p->running = q;
    ok = q->is_copy ? PQsendQuery(p->c, q->sql)
                    : PQsendQueryParams(p->c, q->sql, (int)q->n, NULL,
                                        (const char *const *)q->value, q->length, q->format, 0);
    if (ok != 1) {
        go_down(p);
        return;
    }
    start_limit(p);
    loop_io_events(p->io, LOOP_READ | LOOP_WRITE);
}

/* The server is ready for the body. */
static void send_body(struct pg *p)
{
    struct query *q = p->running;

    /* q NULL: a server that asks for a body in answer to SET and LISTEN is none of ours. */
    if (q == NULL || PQputCopyData(p->c, q->body, (int)q->body_n) != 1 ||
        PQputCopyEnd(p->c, NULL) != 1) {
        go_down(p);
        return;
    }
    loop_io_events(p->io, LOOP_READ | LOOP_WRITE);
}

static void keep_result(struct pg *p, PGresult *r)
{
    if (p->last != NULL && result_of(p->last) != E_OK) {
        PQclear(r); /* the first error is the one to tell */
        return;
    }
    PQclear(p->last);
    p->last = r;
}

static void read_results(struct pg *p)
{
    while (p->c != NULL && (p->running != NULL || p->state == PG_PREPARING) && !PQisBusy(p->c)) {
        PGresult *r = PQgetResult(p->c);
        if (r != NULL) {
            bool copy_in = PQresultStatus(r) == PGRES_COPY_IN;
            keep_result(p, r);
            if (copy_in) {
                send_body(p);
                return;
            }
            continue;
        }
        if (p->state == PG_PREPARING) {
            enum err e = result_of(p->last);
            PQclear(p->last);
            p->last = NULL;
            if (e != E_OK) {
                go_down(p);
                return;
            }
            now_up(p);
        } else {
            finish(p, result_of(p->last));
        }
        send_next(p);
        if (p->state == PG_UP && p->running == NULL) {
            start_limit(p);
        }
    }
}

static void read_notifies(struct pg *p)
{
    PGnotify *n = NULL;

    while (p->c != NULL && (n = PQnotifies(p->c)) != NULL) {
        if (p->cfg.on_notify != NULL) {
            p->cfg.on_notify(p->cfg.arg, view_of(n->relname), view_of(n->extra));
        }
        PQfreemem(n);
    }
}

static void on_socket(void *arg, int fd, unsigned events)
{
    struct pg *p = arg;
    int left = 0;

    (void)fd;
    if (p->state == PG_CONNECTING) {
        connecting(p);
        return;
    }
    if ((events & LOOP_WRITE) != 0) {
        left = PQflush(p->c);
        if (left < 0) {
            go_down(p);
            return;
        }
        loop_io_events(p->io, left == 1 ? LOOP_READ | LOOP_WRITE : LOOP_READ);
    }
    if ((events & LOOP_READ) != 0 && PQconsumeInput(p->c) != 1) {
        go_down(p);
        return;
    }
    read_results(p);
    read_notifies(p);
    if (p->c != NULL && p->state == PG_UP && PQstatus(p->c) == CONNECTION_BAD) {
        go_down(p);
    }
}

enum err pg_open(struct loop *l, const struct pg_cfg *cfg, struct pg **out)
{
    PQconninfoOption *o = PQconninfoParse(cfg->conninfo, NULL);
    struct pg *p = NULL;

    if (o == NULL) { /* libpq's text may show a part of a password: it is not kept */
        return FAIL(E_PARSE);
    }
    PQconninfoFree(o);
    p = mem_zalloc(sizeof *p);
    if (p == NULL) {
        return FAIL(E_NOMEM);
    }
    p->l = l;
    p->cfg = *cfg;
    p->backoff_ms = BACKOFF_MIN_MS;
    start_connect(p);
    *out = p;
    return E_OK;
}

void pg_close(struct pg *p)
{
    if (p != NULL) {
        p->closing = true;
        go_down(p);
        mem_free(p);
    }
}

bool pg_is_up(const struct pg *p)
{
    return p->state == PG_UP;
}

static enum err enqueue(struct pg *p, struct query *q)
{
    if (p->state != PG_UP || (p->cfg.max_queue != 0 && p->queued >= p->cfg.max_queue)) {
        query_free(q);
        return FAIL(p->state != PG_UP ? E_STATE : E_FULL);
    }
    if (p->tail != NULL) {
        p->tail->next = q;
    } else {
        p->head = q;
    }
    p->tail = q;
    p->queued++;
    send_next(p);
    return E_OK;
}

/* libpq counts in int, and reads a text up to the first NUL. */
static bool can_go(const struct pg_param *p)
{
    size_t nul = 0;

    return p->v.p == NULL || (p->v.n < OCTETS_MAX && (p->binary || !view_find(p->v, 0, &nul)));
}

static char *copy_octets(struct view v)
{
    char *c = mem_zalloc(v.n + 1);

    if (c != NULL && v.n > 0) {
        memcpy(c, v.p, v.n);
    }
    return c;
}

enum err pg_query(struct pg *p, const char *sql, const struct pg_param *params, size_t n, pg_fn *fn,
                  void *arg)
{
    struct query *q = n <= PARAMS_MAX ? mem_zalloc(sizeof *q) : NULL;

    if (q == NULL || (q->sql = mem_strdup(sql)) == NULL) {
        query_free(q);
        return FAIL(n > PARAMS_MAX ? E_RANGE : E_NOMEM);
    }
    for (size_t i = 0; i < n; i++) {
        if (!can_go(&params[i])) {
            query_free(q);
            return FAIL(E_RANGE);
        }
        if (params[i].v.p != NULL) {
            q->value[i] = copy_octets(params[i].v);
            if (q->value[i] == NULL) {
                query_free(q);
                return FAIL(E_NOMEM);
            }
            q->length[i] = (int)params[i].v.n;
            q->format[i] = params[i].binary;
        }
        q->n = i + 1;
    }
    q->fn = fn;
    q->arg = arg;
    return enqueue(p, q);
}

enum err pg_copy(struct pg *p, const char *copy_sql, struct view body, pg_fn *fn, void *arg)
{
    struct query *q = body.n < OCTETS_MAX ? mem_zalloc(sizeof *q) : NULL;

    if (q == NULL || (q->sql = mem_strdup(copy_sql)) == NULL ||
        (q->body = copy_octets(body)) == NULL) {
        query_free(q);
        return FAIL(body.n < OCTETS_MAX ? E_NOMEM : E_RANGE);
    }
    q->body_n = body.n;
    q->is_copy = true;
    q->fn = fn;
    q->arg = arg;
    return enqueue(p, q);
}

/* ---- results --------------------------------------------------------------------------------- */
size_t pg_rows(const struct pg_result *r)
{
    return r != NULL ? (size_t)PQntuples(inner(r)) : 0;
}

bool pg_is_null(const struct pg_result *r, size_t row, size_t col)
{
    return row >= pg_rows(r) || PQgetisnull(inner(r), (int)row, (int)col) == 1;
}

struct view pg_text(const struct pg_result *r, size_t row, size_t col)
{
    if (pg_is_null(r, row, col)) {
        return VIEW("");
    }
    return view_from(PQgetvalue(inner(r), (int)row, (int)col),
                     (size_t)PQgetlength(inner(r), (int)row, (int)col));
}

uint64_t pg_u64(const struct pg_result *r, size_t row, size_t col)
{
    uint64_t u = 0;

    return view_to_u64(pg_text(r, row, col), UINT64_MAX, &u) == E_OK ? u : 0;
}

bool pg_bool(const struct pg_result *r, size_t row, size_t col)
{
    return view_eq(pg_text(r, row, col), VIEW("t"));
}

enum err pg_octets(const struct pg_result *r, size_t row, size_t col, void *dst, size_t max,
                   size_t *out_n)
{
    struct view v = pg_text(r, row, col);

    if (!view_starts(v, VIEW("\\x"))) {
        return FAIL(E_PARSE);
    }
    v = view_sub(v, 2, v.n);
    if (v.n / 2 > max) {
        return FAIL(E_RANGE);
    }
    if (hex_get(v, dst, v.n / 2) != E_OK) {
        return FAIL(E_PARSE);
    }
    *out_n = v.n / 2;
    return E_OK;
}

static const char *error_field(const struct pg_result *r, int field)
{
    const char *s = r != NULL ? PQresultErrorField(inner(r), field) : NULL;

    return s != NULL ? s : "";
}

const char *pg_sqlstate(const struct pg_result *r)
{
    return error_field(r, PG_DIAG_SQLSTATE);
}

const char *pg_message(const struct pg_result *r)
{
    const char *s = r != NULL ? PQresultErrorField(inner(r), PG_DIAG_MESSAGE_PRIMARY) : NULL;

    return s != NULL ? s : "connection lost";
}

const char *pg_constraint(const struct pg_result *r)
{
    return error_field(r, PG_DIAG_CONSTRAINT_NAME);
}

const char *pg_column(const struct pg_result *r)
{
    return error_field(r, PG_DIAG_COLUMN_NAME);
}

bool pg_is_raised(const struct pg_result *r)
{
    return strcmp(error_field(r, PG_DIAG_SOURCE_FUNCTION), "exec_stmt_raise") == 0;
}

size_t pg_affected(const struct pg_result *r)
{
    union {
        const PGresult *in;
        PGresult *out;
    } u = {.in = inner(r)}; /* PQcmdTuples takes no const but changes nothing */
    uint64_t n = 0;

    return r != NULL && view_to_u64(view_of(PQcmdTuples(u.out)), UINT64_MAX, &n) == E_OK ? n : 0;
}

/* ---- blocking -------------------------------------------------------------------------------- */
struct pg_sync {
    PGconn *c;
    unsigned limit_ms; /* 0: for ever */
    bool silent;       /* it said nothing for that long: of no more use */
};

enum err pg_sync_open(const char *conninfo, struct pg_sync **out, char *err_text_out, size_t n)
{
    struct pg_sync *p = mem_zalloc(sizeof *p);

    if (p == NULL) {
        return FAIL(E_NOMEM);
    }
    p->c = PQconnectdb(conninfo);
    if (PQstatus(p->c) != CONNECTION_OK) {
        const char *why = PQerrorMessage(p->c);
        snprintf(err_text_out, n, "%.*s", (int)strcspn(why, "\n"), why);
        pg_sync_close(p);
        return FAIL(E_IO);
    }
    PQsetNoticeReceiver(p->c, no_notice, NULL);
    *out = p;
    return E_OK;
}

void pg_sync_close(struct pg_sync *p)
{
    if (p != NULL) {
        PQfinish(p->c);
        mem_free(p);
    }
}

void pg_sync_limit(struct pg_sync *p, unsigned ms)
{
    p->limit_ms = ms;
}

/* The first result, when all of it is there; NULL: lost, or silent past the limit. */
static PGresult *wait_for_result(struct pg_sync *p)
{
    uint64_t until = clock_mono_ms(clock_system()) + p->limit_ms;
    PGresult *first = NULL;

    for (;;) {
        while (PQisBusy(p->c)) {
            uint64_t now = clock_mono_ms(clock_system());
            struct pollfd fd = {.fd = PQsocket(p->c), .events = POLLIN};
            if (now >= until || poll(&fd, 1, (int)(until - now)) == 0) {
                p->silent = true;
                PQclear(first);
                return NULL;
            }
            if (PQconsumeInput(p->c) != 1) {
                break; /* its error is the next result */
            }
        }
        PGresult *r = PQgetResult(p->c);
        if (r == NULL) {
            return first;
        }
        if (first == NULL) {
            first = r;
        } else {
            PQclear(r);
        }
    }
}

enum err pg_sync_query(struct pg_sync *p, const char *sql, const struct pg_param *params, size_t n,
                       struct pg_result **out_r)
{
    const char *value[PARAMS_MAX] = {0};
    char *copies[PARAMS_MAX] = {0};
    int length[PARAMS_MAX] = {0}, format[PARAMS_MAX] = {0};
    PGresult *r = NULL;
    enum err e = n <= PARAMS_MAX ? E_OK : FAIL(E_RANGE);

    for (size_t i = 0; e == E_OK && i < n; i++) { /* texts must end in NUL: views need not */
        if (!can_go(&params[i])) {
            e = FAIL(E_RANGE);
        } else if (params[i].v.p != NULL && (copies[i] = copy_octets(params[i].v)) == NULL) {
            e = FAIL(E_NOMEM); /* and not a NULL of SQL */
        }
        value[i] = copies[i];
        length[i] = copies[i] != NULL ? (int)params[i].v.n : 0;
        format[i] = params[i].binary;
    }
    if (e == E_OK) {
        if (p->limit_ms == 0) {
            r = PQexecParams(p->c, sql, (int)n, NULL, value, length, format, 0);
        } else if (!p->silent &&
                   PQsendQueryParams(p->c, sql, (int)n, NULL, value, length, format, 0) == 1) {
            r = wait_for_result(p);
        }
        e = result_of(r);
    }
    for (size_t i = 0; i < n && i < PARAMS_MAX; i++) {
        if (copies[i] != NULL) {
            wipe(copies[i], (size_t)length[i]);
            mem_free(copies[i]);
        }
    }
    if (out_r != NULL) {
        *out_r = (struct pg_result *)r;
    } else {
        PQclear(r);
    }
    return e;
}

enum err pg_sync_script(struct pg_sync *p, const char *sql, char *err_text_out, size_t n)
{
    PGresult *r = PQexec(p->c, sql);
    enum err e = result_of(r);

    if (e != E_OK) {
        const char *why = PQresultErrorMessage(r);
        snprintf(err_text_out, n, "%.*s", (int)strcspn(why, "\n"), why);
    }
    PQclear(r);
    return e;
}

void pg_result_free(struct pg_result *r)
{
    PQclear((PGresult *)r);
}
