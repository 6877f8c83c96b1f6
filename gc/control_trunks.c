/* Trunks as they are now: one row for each address. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gc/control_int.h"
#include "gc/trunks.h"
#include "gc/worker.h"

enum { TRUNKS_MAX = 1000 };

static const char *dns_word(const struct trunk_view *v)
{
    return v->is_stale                 ? "stale"
           : v->resolved == E_OK       ? "ok"
           : v->resolved == E_NOTFOUND ? "no address"
                                       : "asking";
}

static const char *state_word(const struct trunk_view *v, const struct trunk_address *a)
{
    return !v->is_known    ? "removed"
           : a == NULL     ? "unknown"
           : a->is_down    ? "down"
           : a->is_suspect ? "suspect"
                           : "up";
}

static json_t *count(uint64_t n)
{
    return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

static json_t *row(const struct trunk_view *v, const struct trunk_address *a, uint64_t now_us)
{
    char address[NET_TEXT_MAX] = "";
    json_t *o = json_object();

    if (a != NULL) {
        net_text(&a->where.address, address);
    }
    control_put(o, "trunk", control_text(view_of(v->name)));
    control_put(o, "transport", json_string(a != NULL ? sip_proto_name(a->where.proto) : ""));
    control_put(o, "address", json_string(address));
    control_put(o, "state", json_string(state_word(v, a)));
    control_put(
        o, "last_answer_s",
        a != NULL && a->last_answer_us != 0
            ? json_real((double)(now_us > a->last_answer_us ? now_us - a->last_answer_us : 0) / 1e6)
            : json_null());
    control_put(o, "missed", count(a != NULL ? a->missed : 0));
    control_put(o, "calls", count(v->calls));
    control_put(o, "calls_total", count(v->calls_total));
    control_put(o, "refused", count(v->refused_total));
    control_put(o, "failed", count(v->failed_total));
    control_put(o, "dns", json_string(dns_word(v)));
    return o;
}

static int by_id(const void *va, const void *vb)
{
    const struct trunk_view *a = va, *b = vb;

    return (a->trunk_id > b->trunk_id) - (a->trunk_id < b->trunk_id);
}

void control_op_trunks(struct control_ask *a, json_t *answer)
{
    struct trunk_view *all = mem_zalloc_array(TRUNKS_MAX, sizeof *all);
    uint64_t now_us = clock_wall_us(clock_system());
    json_t *rows = json_array();
    size_t n = 0;

    control_put(answer, "trunks", rows);
    if (all == NULL) {
        a->error = "out of memory";
        return;
    }
    n = workers_trunks(a->cfg->workers, all, TRUNKS_MAX);
    if (n > 0) {
        qsort(all, n, sizeof *all, by_id);
    }
    for (size_t i = 0; i < n; i++) {
        for (unsigned k = 0; k < all[i].n; k++) {
            control_add(rows, row(&all[i], &all[i].a[k], now_us));
        }
        if (all[i].n == 0) {
            control_add(rows, row(&all[i], NULL, now_us));
        }
    }
    if (n == TRUNKS_MAX) {
        control_put(answer, "truncated", json_true());
    }
    mem_free(all);
}
