/* base/log.h - JSON lines on stderr: {"ts":...,"level":...,"prog":...,"event":...,<fields>}.
 *
 * Event names are interface (docs/operations.md lists them); fields are typed. There is no field
 * kind for a secret. KV_DIGITS masks all but the last two digits unless the level is debug. Octets
 * that are no printable ASCII leave as \u00xx. A line has at most 2048 octets: what does not fit is
 * left out and "cut":true says so; it is JSON all the same. One write(2) for each line, so lines of
 * threads never mix. A per-event token bucket (log_limit) keeps
 * a hostile peer from filling a disk; what it swallowed is reported with the next line of that
 * event. Threads: safe after log_init(). */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

enum log_level { LV_ERROR, LV_WARN, LV_INFO, LV_DEBUG };

enum kv_kind { KV_NONE, KV_INT, KV_UINT, KV_TEXT, KV_MASKED };

struct kv {
    const char *key;
    enum kv_kind kind;
    int64_t i;
    uint64_t u;
    struct view text;
};

struct kv kv_int(const char *key, int64_t v);
struct kv kv_uint(const char *key, uint64_t v);
struct kv kv_cstr(const char *key, const char *v);
struct kv kv_view(const char *key, struct view v);
struct kv kv_err(const char *key, enum err v);
struct kv kv_digits(const char *key, struct view v);

#define KV(key, value)                                                                             \
    _Generic((value), struct view: kv_view, char *: kv_cstr, const char *: kv_cstr, int: kv_int,   \
             long: kv_int, long long: kv_int, unsigned long: kv_uint, unsigned long long: kv_uint, \
             unsigned: kv_uint, unsigned short: kv_uint, unsigned char: kv_uint)(key, value)
#define KV_ERR(value)         kv_err("err", value)
#define KV_DIGITS(key, value) kv_digits(key, value)

/* At least one field: LOG(LV_INFO, "call.end", KV("call", id)); */
#define LOG(level, event, ...)                                                                     \
    log_event(level, event, (const struct kv[]){__VA_ARGS__},                                      \
              sizeof((const struct kv[]){__VA_ARGS__}) / sizeof(struct kv))

void log_init(const char *prog, enum log_level level); /* also sets the descriptor: stderr */
void log_set_level(enum log_level level);
MUST_CHECK enum err log_level_parse(struct view text, enum log_level *out); /* "error" .. "debug" */
void log_event(enum log_level level, const char *event, const struct kv *kv, size_t n);
void log_set_fd(int fd);                             /* tests */
void log_limit(unsigned per_second, unsigned burst); /* for each event name; 0 = off */

#endif
