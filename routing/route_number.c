/* Numbers as trunks want them, and the hours of routes. */
#include <string.h>

#include "routing/route.h"

#define MINUTE_S 60
#define DAY_MIN  1440
#define WEEK     7

/* ---- time ---- */

static bool day_counts(uint8_t days, unsigned day)
{
    return days == 0 || (days >> day & 1) != 0;
}

bool route_time_matches(const struct route_time *t, uint64_t now_s)
{
    int64_t minutes = (int64_t)(now_s / MINUTE_S) + t->utc_offset_min;

    if (minutes < 0) {
        return false;
    }
    unsigned today = (unsigned)((minutes / DAY_MIN + 3) % WEEK); /* 1970 began on a Thursday */
    unsigned yesterday = (today + WEEK - 1) % WEEK;
    unsigned at = (unsigned)(minutes % DAY_MIN);
    if (t->from_min == t->to_min) {
        return day_counts(t->days, today);
    }
    if (t->from_min < t->to_min) {
        return day_counts(t->days, today) && at >= t->from_min && at < t->to_min;
    }
    return (day_counts(t->days, today) && at >= t->from_min) ||
           (day_counts(t->days, yesterday) && at < t->to_min);
}

/* ---- numbers ---- */

struct text {
    char *p;
    size_t n;
    bool bad;
};

static void put(struct text *t, struct view v)
{
    if (t->bad || v.n >= ROUTE_NUMBER_MAX - t->n) {
        t->bad = true;
        return;
    }
    if (v.n > 0) {
        memcpy(t->p + t->n, v.p, v.n);
    }
    t->n += v.n;
}

static void put_form(struct text *to, enum number_form form, const struct dialplan *plan,
                     struct view e164)
{
    struct view digits = view_sub(e164, 1, e164.n);

    switch (form) {
    case NUMBER_E164:
        put(to, e164);
        return;
    case NUMBER_BARE:
        put(to, digits);
        return;
    case NUMBER_NATIONAL:
        break;
    }
    if (plan->country_code.n > 0 && view_starts(digits, plan->country_code)) {
        put(to, view_sub(digits, plan->country_code.n, digits.n));
    } else {
        put(to, plan->international_prefix);
        put(to, digits);
    }
}

bool route_called_for(const struct trunk *t, const struct dialplan *plan, struct view number,
                      char out[ROUTE_NUMBER_MAX])
{
    char formed[ROUTE_NUMBER_MAX];
    struct text text = {.p = formed}, whole = {.p = out};

    if (!t || number.n == 0 || number.p[0] != '+') {
        put(&whole, number);
    } else {
        put_form(&text, t->form, plan, number);
        bool all = text.bad || t->strip >= text.n;
        whole.bad = all;
        put(&whole, t->add);
        put(&whole, view_sub(view_from(formed, text.n), t->strip, text.n));
    }
    out[whole.bad ? 0 : whole.n] = 0;
    return !whole.bad && whole.n > 0;
}

void route_caller_for(const struct trunk *t, const struct dialplan *plan, struct view number,
                      char out[ROUTE_NUMBER_MAX])
{
    struct text text = {.p = out};

    number = number.n == 0 && t ? t->default_number : number;
    if (t && number.n > 0 && number.p[0] == '+') {
        put_form(&text, t->form, plan, number);
    } else {
        put(&text, number);
    }
    out[text.bad ? 0 : text.n] = 0;
}
