/* Call records: one ring for each worker, batches to PostgreSQL, the spill file while it is away.
 * COPY puts a batch into cdr.incoming, one statement moves it on; a batch whose outcome is unknown
 * is sent again, and a row that is there already counts once. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "gc/store_int.h"

#define RING_SLOTS    8192 /* of each worker: a power of two */
#define BATCH_ROWS    500
#define BATCH_BYTES   ((size_t)512 * 1024)
#define TICK_MS       200
#define ANSWER_MAX_MS 4000
#define REFUSED_MS    5000 /* until a database that refused is asked again */
#define ALARM_MS      5000 /* between two alarms of the same kind */
#define FLUSH_MAX_MS  2000
#define YEAR_9999_US  253402300799000000ull
#define LATER_BYTES   6 /* the longest of later_columns() */

#define COLUMNS                                                                                    \
    "cdr_id, started_at, answered_at, ended_at, caller_line, callee_line, caller, called, "        \
    "routed, call_id, route, status, end_by, node, private, forwarded_by, attest, "                \
    "priority, preempted_by"
#define SQL_COPY "COPY cdr.incoming (" COLUMNS ") FROM STDIN"
#define SQL_MOVE                                                                                   \
    "WITH moved AS (DELETE FROM cdr.incoming WHERE node = $1 RETURNING " COLUMNS ") "              \
    "INSERT INTO cdr.call (" COLUMNS ") SELECT " COLUMNS " FROM moved "                            \
    "ON CONFLICT (cdr_id) DO NOTHING"

struct ring {
    _Alignas(64) _Atomic uint32_t head; /* the worker's: next to write */
    _Alignas(64) _Atomic uint32_t tail; /* the store's: next to read */
    struct cdr *slot;
};

struct batch {
    char *text;
    size_t text_n, start[BATCH_ROWS + 1]; /* octets; start[n] is the end */
    size_t n, from, to;                   /* rows: all, first not stored, end of those on the way */
    size_t step;                          /* rows sent at a time; 1 while looking for a bad one */
    bool from_spill, on_the_way;
};

struct cdrs {
    struct store *s;
    struct pg *pg;
    struct spill *spill;
    struct ring *ring;
    struct batch b;
    struct loop_wake *wake;
    struct loop_timer tick, answer, flush_limit;
    uint64_t refused_until_ms, alarm_after_ms, lost_told;
    uint64_t refused; /* rows that the database will never take */
    bool closing, flushing, only_spill, spill_broken;
    void (*flushed)(void *arg);
    void *flushed_arg;
};

static void pump(struct cdrs *c);

/* ---- the worker's side -------------------------------------------------------------------------
 */
bool cdrs_push(struct cdrs *c, unsigned worker, const struct cdr *r)
{
    struct ring *k = &c->ring[worker];
    uint32_t head = atomic_load_explicit(&k->head, memory_order_relaxed);
    uint32_t n = head - atomic_load_explicit(&k->tail, memory_order_acquire);

    BUG_ON(worker >= c->s->cfg.workers);
    if (n == RING_SLOTS) {
        atomic_fetch_add(&c->s->h_lost, 1);
        metric_add(c->s->cfg.metrics, worker, c->s->meter[SM_CDR_LOST], 1);
        return false;
    }
    k->slot[head % RING_SLOTS] = *r;
    atomic_store_explicit(&k->head, head + 1, memory_order_release);
    if ((n + 1) % BATCH_ROWS == 0) {
        loop_wake_send(c->wake);
    }
    return true;
}

static uint64_t queued(const struct cdrs *c)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < c->s->cfg.workers; i++) {
        n += atomic_load_explicit(&c->ring[i].head, memory_order_acquire) -
             atomic_load_explicit(&c->ring[i].tail, memory_order_relaxed);
    }
    return n;
}

/* ---- a row as text -----------------------------------------------------------------------------
 */
/* Octets that came from the network: what is not printable ASCII would make the server refuse the
 * whole batch. */
static char *put_text(char *p, const char *text, size_t max)
{
    for (size_t i = 0; i < max && text[i] != 0; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '\\') {
            *p++ = '\\';
        }
        *p++ = c >= 0x20 && c < 0x7f ? (char)c : '?';
    }
    *p++ = '\t';
    return p;
}

static char *put_null(char *p)
{
    *p++ = '\\';
    *p++ = 'N';
    *p++ = '\t';
    return p;
}

static char *put_time(char *p, uint64_t us, bool may_be_null)
{
    struct tm tm;
    time_t seconds = 0;

    if (us == 0 && may_be_null) {
        return put_null(p);
    }
    us = us > YEAR_9999_US ? YEAR_9999_US : us;
    seconds = (time_t)(us / 1000000);
    gmtime_r(&seconds, &tm);
    p += strftime(p, 24, "%Y-%m-%d %H:%M:%S", &tm);
    return p + snprintf(p, 16, ".%06u+00\t", (unsigned)(us % 1000000));
}

static char *put_line_id(char *p, uint64_t id)
{
    if (id == 0 || id > INT64_MAX) {
        return put_null(p);
    }
    return p + snprintf(p, 24, "%" PRIu64 "\t", id);
}

size_t cdr_format(const struct cdr *r, char dst[SPILL_LINE_MAX])
{
    char *p = put_text(dst, r->cdr_id, sizeof r->cdr_id);

    p = put_time(p, r->start_us, false);
    p = put_time(p, r->answer_us, true);
    p = put_time(p, r->end_us != 0 ? r->end_us : r->start_us, false);
    p = put_line_id(p, r->caller_line);
    p = put_line_id(p, r->callee_line);
    p = put_text(p, r->caller, sizeof r->caller);
    p = put_text(p, r->called, sizeof r->called);
    p = put_text(p, r->routed, sizeof r->routed);
    p = put_text(p, r->call_id, sizeof r->call_id);
    p = put_text(p, r->route, sizeof r->route);
    p += snprintf(p, 8, "%u\t", (unsigned)r->status);
    p = put_text(p, r->end_by, sizeof r->end_by);
    p = put_text(p, r->node, sizeof r->node);
    *p++ = r->is_private ? 't' : 'f';
    *p++ = '\t';
    p = put_text(p, r->forwarded_by, sizeof r->forwarded_by);
    p = put_text(p, r->attest, sizeof r->attest);
    p = put_text(p, r->priority, sizeof r->priority);
    p = put_text(p, r->preempted_by, sizeof r->preempted_by);
    p[-1] = '\n';
    return (size_t)(p - dst);
}

/* Files of former versions hold rows with fewer columns: what those of that many tabs lack. */
static struct view later_columns(size_t tabs)
{
    return tabs == 13 ? VIEW("\tf\t\t\t\t") : tabs == 16 ? VIEW("\t\t") : VIEW("");
}

size_t cdr_from_spill(char *dst, const char *row, size_t n)
{
    struct view later;
    size_t tabs = 0;

    for (size_t i = 0; i < n; i++) {
        tabs += row[i] == '\t';
    }
    memmove(dst, row, n);
    later = later_columns(tabs);
    if (later.n > 0) {
        memcpy(dst + n - 1, later.p, later.n);
        n += later.n;
        dst[n - 1] = '\n';
    }
    return n;
}

/* ---- filling a batch ---------------------------------------------------------------------------
 */
static void batch_clear(struct batch *b)
{
    b->n = 0;
    b->from = 0;
    b->to = 0;
    b->text_n = 0;
    b->start[0] = 0;
    b->step = BATCH_ROWS;
    b->from_spill = false;
}

static void batch_close_row(struct batch *b, size_t octets)
{
    b->text_n += octets;
    b->start[++b->n] = b->text_n;
}

static void fill_from_rings(struct cdrs *c)
{
    struct batch *b = &c->b;

    for (unsigned i = 0; i < c->s->cfg.workers; i++) {
        struct ring *k = &c->ring[i];
        uint32_t tail = atomic_load_explicit(&k->tail, memory_order_relaxed);
        uint32_t head = atomic_load_explicit(&k->head, memory_order_acquire);
        while (tail != head && b->n < BATCH_ROWS && BATCH_BYTES - b->text_n >= SPILL_LINE_MAX) {
            batch_close_row(b, cdr_format(&k->slot[tail % RING_SLOTS], b->text + b->text_n));
            tail++;
        }
        atomic_store_explicit(&k->tail, tail, memory_order_release);
    }
}

static void fill_from_spill(struct cdrs *c)
{
    struct batch *b = &c->b;
    char *in = b->text + BATCH_ROWS * LATER_BYTES; /* room in front for rows that grow */
    size_t n = 0, rows = 0;
    enum err e =
        spill_peek(c->spill, in, BATCH_BYTES - BATCH_ROWS * LATER_BYTES, BATCH_ROWS, &n, &rows);

    if (e != E_OK) {
        LOG(LV_ERROR, "cdr.spill_unreadable", KV("file", c->s->cfg.spill_path), KV_ERR(e));
        c->refused_until_ms = loop_now_ms(c->s->l) + REFUSED_MS;
        return;
    }
    for (size_t at = 0; at < n;) {
        const char *end = memchr(in + at, '\n', n - at);
        size_t octets = (size_t)(end + 1 - (in + at));
        batch_close_row(b, cdr_from_spill(b->text + b->text_n, in + at, octets));
        at += octets;
    }
    b->from_spill = true;
    if (rows == 0 && spill_taken(c->spill) != E_OK) { /* only damaged ones were left */
        LOG(LV_WARN, "cdr.spill_truncate", KV("file", c->s->cfg.spill_path), KV_ERR(E_IO));
    }
}

/* ---- to the file -------------------------------------------------------------------------------
 */
static bool alarm_due(struct cdrs *c)
{
    uint64_t now = loop_now_ms(c->s->l);

    if (now < c->alarm_after_ms) {
        return false;
    }
    c->alarm_after_ms = now + ALARM_MS;
    return true;
}

/* True: the batch is done with. */
static bool to_spill(struct cdrs *c)
{
    struct batch *b = &c->b;
    size_t n = b->n - b->from, at = b->start[b->from];
    enum err e = spill_append(c->spill, view_from(b->text + at, b->text_n - at), n);

    if (e != E_OK) {
        if (alarm_due(c)) {
            LOG(LV_ERROR, "cdr.spill_failed", KV("file", c->s->cfg.spill_path), KV_ERR(e),
                KV("rows_waiting", queued(c) + n));
        }
        c->spill_broken = true;
        return false;
    }
    if (c->spill_broken) {
        c->spill_broken = false;
        c->alarm_after_ms = 0;
        LOG(LV_INFO, "cdr.spill_works", KV("file", c->s->cfg.spill_path));
    }
    store_count(c->s, SM_CDR_SPILLED, (int64_t)n);
    batch_clear(b);
    return true;
}

/* ---- to the database ---------------------------------------------------------------------------
 */
static void batch_stored(struct cdrs *c)
{
    struct batch *b = &c->b;
    enum err e = E_OK;

    store_count(c->s, SM_CDR_STORED, (int64_t)b->n);
    if (b->from_spill) {
        e = spill_taken(c->spill);
        if (e != E_OK) {
            LOG(LV_WARN, "cdr.spill_truncate", KV("file", c->s->cfg.spill_path), KV_ERR(e));
        } else if (spill_rows(c->spill) == 0) {
            LOG(LV_INFO, "cdr.spill_loaded", KV("file", c->s->cfg.spill_path));
        }
    }
    batch_clear(b);
}

/* The database will never take this row: it is kept for people, the others go on. */
static void refuse_row(struct cdrs *c)
{
    struct batch *b = &c->b;
    size_t at = b->start[b->from];
    enum err e = spill_refuse(c->spill, view_from(b->text + at, b->start[b->from + 1] - at));

    c->refused++;
    atomic_fetch_add(&c->s->h_lost, 1);
    store_count(c->s, SM_CDR_LOST, 1);
    LOG(LV_ERROR, "cdr.row_refused", KV("file", c->s->cfg.spill_path), KV("kept", e == E_OK));
    b->from++;
    b->step = BATCH_ROWS;
}

static void on_failed(struct cdrs *c, enum err e, const struct pg_result *r)
{
    struct batch *b = &c->b;

    if (e == E_RANGE && b->to - b->from > 1) {
        b->step = 1;
    } else if (e == E_RANGE) {
        refuse_row(c);
        if (b->from == b->n) {
            batch_stored(c);
        }
    } else if (e != E_IO) {
        c->refused_until_ms = loop_now_ms(c->s->l) + REFUSED_MS;
        LOG(LV_ERROR, "cdr.database_refused", KV("sqlstate", pg_sqlstate(r)),
            KV("text", pg_message(r)), KV("retry_ms", REFUSED_MS));
    }
}

static void answered(struct cdrs *c)
{
    c->b.on_the_way = false;
    loop_timer_stop(c->s->l, &c->answer);
}

static void on_moved(void *arg, enum err e, const struct pg_result *r)
{
    struct cdrs *c = arg;

    answered(c);
    if (e == E_OK) {
        c->b.from = c->b.to;
        if (c->b.from == c->b.n) {
            batch_stored(c);
        }
    } else {
        on_failed(c, e, r);
    }
    pump(c);
}

static void on_copied(void *arg, enum err e, const struct pg_result *r)
{
    struct cdrs *c = arg;
    const struct pg_param node = PG_TEXT(view_of(c->s->cfg.node));

    if (e == E_OK) {
        e = pg_query(c->pg, SQL_MOVE, &node, 1, on_moved, c);
        r = NULL;
    }
    if (e != E_OK) {
        answered(c);
        on_failed(c, e, r);
        pump(c);
    }
}

static void on_silence(void *arg);

static void to_database(struct cdrs *c)
{
    struct batch *b = &c->b;
    size_t at = b->start[b->from];
    enum err e = E_OK;

    b->to = b->n - b->from > b->step ? b->from + b->step : b->n;
    b->on_the_way = true; /* before: a connection that breaks at once answers from inside */
    IGNORE(loop_timer_start(c->s->l, &c->answer, ANSWER_MAX_MS, on_silence, c),
           "then the kernel has to find out");
    e = pg_copy(c->pg, SQL_COPY, view_from(b->text + at, b->start[b->to] - at), on_copied, c);
    if (e != E_OK) {
        answered(c);
        c->refused_until_ms = loop_now_ms(c->s->l) + TICK_MS;
    }
}

static bool database_takes(const struct cdrs *c)
{
    return !c->only_spill && pg_is_up(c->pg) && loop_now_ms(c->s->l) >= c->refused_until_ms;
}

static void flush_done(struct cdrs *c)
{
    void (*fn)(void *arg) = c->flushed;

    c->flushed = NULL;
    loop_timer_stop(c->s->l, &c->flush_limit);
    if (fn != NULL) {
        fn(c->flushed_arg);
    }
}

/* Goes on until something is on the way, nothing is left, or nobody takes anything. */
static void pump(struct cdrs *c)
{
    while (!c->closing && !c->b.on_the_way) {
        if (c->b.n == 0) {
            fill_from_rings(c);
        }
        if (c->b.n == 0 && c->flushing) {
            flush_done(c);
            return;
        }
        if (c->b.n == 0 && spill_rows(c->spill) > 0 && database_takes(c)) {
            fill_from_spill(c);
        }
        if (c->b.n == 0) {
            return;
        }
        if (database_takes(c)) {
            to_database(c);
        } else if (c->b.from_spill) {
            batch_clear(&c->b); /* they stay in the file */
        } else if (!to_spill(c)) {
            return;
        }
    }
}

/* ---- time --------------------------------------------------------------------------------------
 */
static void tell(struct cdrs *c)
{
    uint64_t lost = atomic_load(&c->s->h_lost), waiting = queued(c);

    atomic_store(&c->s->h_queued, waiting);
    atomic_store(&c->s->h_spilled, spill_rows(c->spill));
    store_gauge(c->s, SM_CDR_QUEUED, (int64_t)waiting);
    store_gauge(c->s, SM_CDR_SPILL_ROWS, (int64_t)spill_rows(c->spill));
    if (lost > c->lost_told) {
        LOG(LV_ERROR, "cdr.lost", KV("rows", lost - c->lost_told), KV("in_all", lost));
        c->lost_told = lost;
    }
}

static void on_tick(void *arg)
{
    struct cdrs *c = arg;

    pump(c);
    tell(c);
    IGNORE(loop_timer_start(c->s->l, &c->tick, TICK_MS, on_tick, c), "its place is free");
}

static void on_wake(void *arg)
{
    pump(arg);
}

/* A row counts as stored when it is on the server's disk, whatever the server's own default. */
static void on_up(void *arg, bool up)
{
    struct cdrs *c = arg;

    if (up) {
        IGNORE(pg_query(c->pg, "SET synchronous_commit = on", NULL, 0, NULL, NULL),
               "a connection that breaks now is told as such");
        pump(c);
    }
}

static enum err open_pg(struct cdrs *c)
{
    const struct pg_cfg pg = {.conninfo = c->s->cfg.conninfo,
                              .max_queue = 4,
                              .statement_timeout_ms = ANSWER_MAX_MS - 500,
                              .on_up = on_up,
                              .arg = c};

    return pg_open(c->s->l, &pg, &c->pg);
}

/* No answer: whether the rows are stored is unknown, they go the other way as well. */
static void on_silence(void *arg)
{
    struct cdrs *c = arg;

    LOG(LV_WARN, "cdr.database_silent", KV("after_ms", ANSWER_MAX_MS));
    pg_close(c->pg);
    if (open_pg(c) != E_OK) {
        bug_abort("no memory for a connection", __FILE__, __LINE__);
    }
    pump(c);
}

static void on_flush_limit(void *arg)
{
    struct cdrs *c = arg;

    c->only_spill = true;
    if (c->b.on_the_way) {
        on_silence(c);
    } else {
        pump(c);
    }
    if (c->flushed != NULL) { /* neither takes them */
        uint64_t left = queued(c) + (c->b.n - c->b.from);
        atomic_fetch_add(&c->s->h_lost, left);
        store_count(c->s, SM_CDR_LOST, (int64_t)left);
        LOG(LV_ERROR, "cdr.lost", KV("rows", left), KV("in_all", atomic_load(&c->s->h_lost)));
        flush_done(c);
    }
}

void cdrs_flush(struct cdrs *c, void (*fn)(void *arg), void *arg)
{
    c->flushing = true;
    c->flushed = fn;
    c->flushed_arg = arg;
    if (loop_timer_start(c->s->l, &c->flush_limit, FLUSH_MAX_MS, on_flush_limit, c) != E_OK) {
        on_flush_limit(c);
        return;
    }
    pump(c);
}

/* ---- life --------------------------------------------------------------------------------------
 */
enum err cdrs_new(struct store *s, struct cdrs **out)
{
    struct cdrs *c = mem_zalloc(sizeof *c);
    enum err e = c != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    c->s = s;
    c->ring = mem_zalloc_array(s->cfg.workers, sizeof *c->ring);
    c->b.text = mem_zalloc(BATCH_BYTES);
    if (c->ring == NULL || c->b.text == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    for (unsigned i = 0; i < s->cfg.workers; i++) {
        c->ring[i].slot = mem_zalloc_array(RING_SLOTS, sizeof *c->ring[i].slot);
        if (c->ring[i].slot == NULL) {
            TRY(FAIL(E_NOMEM));
        }
    }
    batch_clear(&c->b);
    e = spill_open(s->cfg.spill_path, &c->spill);
    if (e != E_OK) {
        LOG(LV_ERROR, "cdr.spill_unusable", KV("file", s->cfg.spill_path), KV_ERR(e));
        goto out;
    }
    TRY(loop_wake_new(s->l, on_wake, c, &c->wake));
    *out = c;
    c = NULL;
out:
    cdrs_free(c);
    return e;
}

enum err cdrs_open(struct cdrs *c)
{
    enum err e = loop_timer_start(c->s->l, &c->tick, TICK_MS, on_tick, c);

    return e == E_OK ? open_pg(c) : e;
}

void cdrs_free(struct cdrs *c)
{
    if (c == NULL) {
        return;
    }
    c->closing = true;
    pg_close(c->pg);
    loop_timer_stop(c->s->l, &c->tick);
    loop_timer_stop(c->s->l, &c->answer);
    loop_timer_stop(c->s->l, &c->flush_limit);
    loop_wake_free(c->wake);
    spill_close(c->spill);
    for (unsigned i = 0; c->ring != NULL && i < c->s->cfg.workers; i++) {
        mem_free(c->ring[i].slot);
    }
    mem_free(c->ring);
    mem_free(c->b.text);
    mem_free(c);
}

bool cdrs_up(const struct cdrs *c)
{
    return pg_is_up(c->pg);
}
