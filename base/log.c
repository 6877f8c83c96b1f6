#include "base/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048
#define TAIL_BYTES     64 /* kept for "cut", "swallowed" and the closing brace */
#define NUMBER_BYTES   20 /* the longest: -9223372036854775808 */
#define ESCAPE_BYTES   6  /* \u00ff */
#define MASK_MAX       32
#define BUCKETS        128

struct bucket {
    const char *event;
    double tokens;
    int64_t last_ms;
    uint64_t swallowed;
};

static struct {
    const char *prog;
    atomic_int level;
    int fd;
    pthread_mutex_t lock;
    unsigned per_second, burst;
    struct bucket buckets[BUCKETS];
} lg = {.prog = "headgate",
        .level = LV_INFO,
        .fd = 2,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .per_second = 50,
        .burst = 200};

struct line {
    char b[LINE_MAX_BYTES];
    size_t n;
    bool cut; /* something of a field is not there */
};

struct kv kv_int(const char *key, int64_t v)
{
    return (struct kv){.key = key, .kind = KV_INT, .i = v};
}

struct kv kv_uint(const char *key, uint64_t v)
{
    return (struct kv){.key = key, .kind = KV_UINT, .u = v};
}

struct kv kv_cstr(const char *key, const char *v)
{
    return kv_view(key, view_of(v));
}

struct kv kv_view(const char *key, struct view v)
{
    return (struct kv){.key = key, .kind = KV_TEXT, .text = v};
}

struct kv kv_err(const char *key, enum err v)
{
    return kv_cstr(key, err_name(v));
}

struct kv kv_digits(const char *key, struct view v)
{
    return (struct kv){.key = key, .kind = KV_MASKED, .text = v};
}

static size_t room(const struct line *l)
{
    size_t end = sizeof l->b - TAIL_BYTES;

    return l->n < end ? end - l->n : 0;
}

/* The caller has looked at the room, or writes into the tail. */
static void put(struct line *l, const char *s, size_t n)
{
    BUG_ON(n > sizeof l->b - l->n);
    memcpy(l->b + l->n, s, n);
    l->n += n;
}

static void put_cstr(struct line *l, const char *s)
{
    put(l, s, strlen(s));
}

static void put_escaped(struct line *l, struct view v)
{
    for (size_t i = 0; i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];
        char esc[8];
        if (room(l) < ESCAPE_BYTES + 1) { /* and the closing quote */
            l->cut = true;
            return;
        }
        if (c == '"' || c == '\\') {
            esc[0] = '\\';
            esc[1] = (char)c;
            put(l, esc, 2);
        } else if (c < 0x20 || c >= 0x7f) {
            snprintf(esc, sizeof esc, "\\u%04x", c);
            put(l, esc, ESCAPE_BYTES);
        } else {
            put(l, v.p + i, 1);
        }
    }
}

/* All but the last two; how long a very long one is does not matter. */
static void put_masked(struct line *l, struct view v)
{
    if (lg.level >= LV_DEBUG) {
        put_escaped(l, v);
        return;
    }
    for (size_t i = 0; i + 2 < v.n && i < MASK_MAX; i++) {
        put_escaped(l, VIEW("*"));
    }
    put_escaped(l, view_sub(v, v.n > 2 ? v.n - 2 : 0, 2));
}

/* A field whose key and number, or key and two quotes, do not fit is left out. */
static void put_field(struct line *l, const struct kv *f)
{
    char num[NUMBER_BYTES + 1];

    if (room(l) < strlen(f->key) + 4 + NUMBER_BYTES) {
        l->cut = true;
        return;
    }
    put_cstr(l, ",\"");
    put_cstr(l, f->key);
    put_cstr(l, "\":");
    switch (f->kind) {
    case KV_INT:
        snprintf(num, sizeof num, "%lld", (long long)f->i);
        put_cstr(l, num);
        return;
    case KV_UINT:
        snprintf(num, sizeof num, "%llu", (unsigned long long)f->u);
        put_cstr(l, num);
        return;
    case KV_TEXT:
    case KV_MASKED:
    case KV_NONE:
        break;
    }
    put_cstr(l, "\"");
    if (f->kind == KV_MASKED) {
        put_masked(l, f->text);
    } else {
        put_escaped(l, f->text);
    }
    put_cstr(l, "\"");
}

static void put_tail(struct line *l, uint64_t swallowed)
{
    char text[TAIL_BYTES] = "";

    if (l->cut) {
        put_cstr(l, ",\"cut\":true");
    }
    if (swallowed > 0) {
        snprintf(text, sizeof text, ",\"swallowed\":%llu", (unsigned long long)swallowed);
        put_cstr(l, text);
    }
    put_cstr(l, "}\n");
}

static int64_t mono_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Event names are string literals, so their address is their identity. Returns false to swallow. */
static bool take_token(const char *event, uint64_t *out_swallowed)
{
    struct bucket *b = NULL;
    int64_t now = mono_ms();
    bool ok = true;

    pthread_mutex_lock(&lg.lock);
    for (size_t i = 0; i < BUCKETS && b == NULL; i++) {
        if (lg.buckets[i].event == event || lg.buckets[i].event == NULL) {
            b = &lg.buckets[i];
        }
    }
    if (b != NULL && lg.per_second > 0) {
        if (b->event == NULL) {
            *b = (struct bucket){.event = event, .tokens = lg.burst, .last_ms = now};
        }
        b->tokens += (double)(now - b->last_ms) * lg.per_second / 1000.0;
        b->tokens = b->tokens > lg.burst ? lg.burst : b->tokens;
        b->last_ms = now;
        ok = b->tokens >= 1.0;
        if (ok) {
            b->tokens -= 1.0;
            *out_swallowed = b->swallowed;
            b->swallowed = 0;
        } else {
            b->swallowed++;
        }
    }
    pthread_mutex_unlock(&lg.lock);
    return ok;
}

void log_event(enum log_level level, const char *event, const struct kv *kv, size_t n)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    struct line l = {.n = 0};
    struct timespec t;
    struct tm tm;
    char head[160];
    uint64_t swallowed = 0;
    int head_n = 0;

    if ((int)level > lg.level || !take_token(event, &swallowed)) {
        return;
    }
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    head_n = snprintf(
        head, sizeof head,
        "{\"ts\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ\",\"level\":\"%s\",\"prog\":\"%s\","
        "\"event\":\"%s\"",
        tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
        t.tv_nsec / 1000000, names[level], lg.prog, event);
    BUG_ON(head_n < 0 || (size_t)head_n >= sizeof head); /* program and event names are ours */
    put_cstr(&l, head);
    for (size_t i = 0; i < n; i++) {
        put_field(&l, &kv[i]);
    }
    put_tail(&l, swallowed);
    if (write(lg.fd, l.b, l.n) < 0) {
        return; /* nowhere left to say it */
    }
}

void log_init(const char *prog, enum log_level level)
{
    lg.prog = prog;
    lg.level = (int)level;
}

void log_set_level(enum log_level level)
{
    lg.level = (int)level;
}

enum err log_level_parse(struct view text, enum log_level *out)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};

    for (int i = 0; i < 4; i++) {
        if (view_eq(text, view_of(names[i]))) {
            *out = (enum log_level)i;
            return E_OK;
        }
    }
    return FAIL(E_PARSE);
}

void log_set_fd(int fd)
{
    lg.fd = fd;
}

void log_limit(unsigned per_second, unsigned burst)
{
    lg.per_second = per_second;
    lg.burst = burst;
}
