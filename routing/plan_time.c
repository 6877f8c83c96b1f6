/* Hours as words. */
#include "routing/plan_time.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAYS       7
#define EVERY_DAY  127
#define OFFSET_MAX 840

static const char NAMES[DAYS][4] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

/* ---- reading ---- */

static bool day_of(struct view v, unsigned *out)
{
    for (unsigned d = 0; d < DAYS; d++) {
        if (view_eq_nocase(v, view_of(NAMES[d]))) {
            *out = d;
            return true;
        }
    }
    return false;
}

/* "mon", "mon-fri", "fri-mon" */
static bool add_days(struct view v, uint8_t *days)
{
    unsigned from = 0, to = 0;
    size_t dash = v.n;

    (void)view_find(v, '-', &dash);
    if (!day_of(view_sub(v, 0, dash), &from)) {
        return false;
    }
    to = from;
    if (dash < v.n && !day_of(view_sub(v, dash + 1, v.n), &to)) {
        return false;
    }
    for (unsigned d = from;; d = (d + 1) % DAYS) {
        *days = (uint8_t)(*days | 1u << d);
        if (d == to) {
            return true;
        }
    }
}

static bool read_days(struct view v, struct route_time *t)
{
    uint8_t days = 0;

    if (view_eq_nocase(v, VIEW("daily"))) {
        t->days = EVERY_DAY;
        return true;
    }
    while (v.n > 0) {
        size_t comma = v.n;
        (void)view_find(v, ',', &comma);
        if (!add_days(view_sub(v, 0, comma), &days) || comma + 1 == v.n) {
            return false;
        }
        v = view_sub(v, comma + 1, v.n);
    }
    t->days = days;
    return true;
}

/* "08:00", 24:00 as the end of a day */
static bool read_clock(struct view v, unsigned max, unsigned *out)
{
    uint64_t hour = 0, minute = 0;

    if (v.n != 5 || v.p[2] != ':' || view_to_u64(view_sub(v, 0, 2), 99, &hour) != E_OK ||
        view_to_u64(view_sub(v, 3, 2), 59, &minute) != E_OK || hour * 60 + minute > max) {
        return false;
    }
    *out = (unsigned)(hour * 60 + minute);
    return true;
}

static bool read_hours(struct view v, struct route_time *t)
{
    unsigned from = 0, to = 0;

    if (v.n != 11 || v.p[5] != '-' || !read_clock(view_sub(v, 0, 5), 1439, &from) ||
        !read_clock(view_sub(v, 6, 5), 1440, &to)) {
        return false;
    }
    t->from_min = (uint16_t)from;
    t->to_min = (uint16_t)(to % 1440);
    return from != to;
}

static bool read_offset(struct view v, struct route_time *t)
{
    unsigned minutes = 0;

    if (view_eq_nocase(v, VIEW("utc"))) {
        t->utc_offset_min = 0;
        return true;
    }
    if (v.n != 6 || (v.p[0] != '+' && v.p[0] != '-') ||
        !read_clock(view_sub(v, 1, 5), OFFSET_MAX, &minutes)) {
        return false;
    }
    t->utc_offset_min = (int16_t)(v.p[0] == '-' ? -(int)minutes : (int)minutes);
    return true;
}

enum err route_time_parse(struct view text, struct route_time *out)
{
    bool (*const parts[])(struct view, struct route_time *) = {read_days, read_hours, read_offset};
    const size_t n_parts = sizeof parts / sizeof *parts;
    struct route_time t = {.days = 0};
    struct view rest = view_trim(text);
    size_t next = 0;

    if (rest.n == 0) {
        return FAIL(E_PARSE);
    }
    if (view_eq_nocase(rest, VIEW("always"))) {
        *out = t;
        return E_OK;
    }
    while (rest.n > 0) {
        size_t end = rest.n;
        (void)view_find(rest, ' ', &end);
        struct view word = view_sub(rest, 0, end);
        while (next < n_parts && !parts[next](word, &t)) {
            next++;
        }
        if (next == n_parts) {
            return FAIL(E_PARSE);
        }
        next++;
        rest = view_trim(view_sub(rest, end, rest.n));
    }
    *out = t;
    return E_OK;
}

/* ---- writing ---- */

static size_t put_days(uint8_t days, char *dst, size_t max)
{
    size_t n = 0;

    if (days == 0 || days == EVERY_DAY) {
        return (size_t)snprintf(dst, max, "daily");
    }
    for (unsigned d = 0; d < DAYS; d++) {
        unsigned last = d;
        if ((days >> d & 1) == 0) {
            continue;
        }
        while (last + 1 < DAYS && (days >> (last + 1) & 1) != 0) {
            last++;
        }
        n += (size_t)snprintf(dst + n, max - n, "%s%s%s%s", n > 0 ? "," : "", NAMES[d],
                              last > d ? "-" : "", last > d ? NAMES[last] : "");
        d = last;
    }
    return n;
}

void route_time_text(const struct route_time *t, char out[ROUTE_TIME_TEXT_MAX])
{
    bool whole = t->from_min == t->to_min;
    int offset = abs(t->utc_offset_min);
    size_t n = 0;

    if ((t->days == 0 || t->days == EVERY_DAY) && whole) {
        (void)snprintf(out, ROUTE_TIME_TEXT_MAX, "always");
        return;
    }
    n = put_days(t->days, out, ROUTE_TIME_TEXT_MAX);
    if (!whole) {
        n += (size_t)snprintf(out + n, ROUTE_TIME_TEXT_MAX - n, " %02u:%02u-%02u:%02u",
                              t->from_min / 60, t->from_min % 60, t->to_min / 60, t->to_min % 60);
    }
    if (offset != 0) {
        (void)snprintf(out + n, ROUTE_TIME_TEXT_MAX - n, " %c%02d:%02d",
                       t->utc_offset_min < 0 ? '-' : '+', offset / 60, offset % 60);
    }
}
