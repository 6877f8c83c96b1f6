#include "lawful_intercept/deliver_window.h"

#include <stdbool.h>
#include <string.h>

enum { SPANS = 256 }; /* of resend_bytes: what one mark may stand for from the beginning */

void li_window_clear(struct li_window *w)
{
    w->n = 0;
    w->answered = w->acked = 0;
}

/* Two in the place of one, wherever both are confirmed or both are not, and both or none of them
 * go for the first time. */
static void thin_out(struct li_window *w)
{
    size_t kept = 0;

    for (size_t i = 0; i < w->n; i++) {
        struct li_mark m = w->mark[i];
        const struct li_mark *next = i + 1 < w->n ? &w->mark[i + 1] : NULL;
        if (next != NULL && (m.acked_ms != 0) == (next->acked_ms != 0) &&
            (m.number > w->confirmed) == (next->number > w->confirmed)) {
            m.number = next->number;
            m.end = next->end;
            m.acked_ms = next->acked_ms;
            i++;
        }
        w->mark[kept++] = m;
    }
    w->n = kept;
}

void li_window_sent(struct li_window *w, uint64_t number, uint64_t at_us, uint64_t begin,
                    uint64_t end)
{
    struct li_mark *last = w->n > 0 ? &w->mark[w->n - 1] : NULL;

    if (last != NULL && last->acked_ms == 0 && end - last->begin <= w->resend_bytes / SPANS &&
        (last->number > w->confirmed) == (number > w->confirmed)) {
        last->number = number;
        last->end = end;
        return;
    }
    if (w->n == LI_MARKS) {
        thin_out(w);
    }
    w->mark[w->n++] = (struct li_mark){number, begin, end, at_us, 0};
}

void li_window_acked(struct li_window *w, uint64_t octets, uint64_t now_ms)
{
    w->acked = octets;
    for (size_t i = 0; i < w->n && w->mark[i].end <= octets; i++) {
        struct li_mark *m = &w->mark[i];
        m->acked_ms = m->acked_ms != 0 ? m->acked_ms : now_ms;
        w->confirmed = m->number > w->confirmed ? m->number : w->confirmed;
    }
}

void li_window_answered(struct li_window *w, uint64_t octets)
{
    w->answered = octets > w->answered ? octets : w->answered;
}

static bool is_settled(const struct li_window *w, const struct li_mark *m, uint64_t now_ms)
{
    uint64_t ms = m->acked_ms != 0 && now_ms > m->acked_ms ? now_ms - m->acked_ms : 0;
    bool read = m->end <= w->answered || w->acked - m->end >= w->resend_bytes;

    return m->acked_ms != 0 && ((read && ms >= w->settle_ms) || ms >= w->settle_late_ms);
}

uint64_t li_window_settle(struct li_window *w, uint64_t now_ms)
{
    uint64_t number = 0;
    size_t n = 0;

    while (n < w->n && is_settled(w, &w->mark[n], now_ms)) {
        number = w->mark[n++].number;
    }
    w->n -= n;
    memmove(w->mark, w->mark + n, w->n * sizeof w->mark[0]);
    return number;
}

uint64_t li_window_oldest(const struct li_window *w)
{
    for (size_t i = 0; i < w->n; i++) {
        if (w->mark[i].acked_ms == 0 && w->mark[i].number > w->confirmed) {
            return w->mark[i].first_us;
        }
    }
    return 0;
}
