/* core.change_log grows with every change and is read within seconds: a week of it is kept. A gate
 * controller that was away for longer sees by core.change_purged that it must read everything. Any
 * number of them may do it: each takes rows that no other is taking. */
#include "gc/store_int.h"

#define ROWS_AT_ONCE 5000
#define PAUSE_MS     3600000ull /* between purges */
#define MORE_MS      10000ull   /* when there was more than one purge takes */
#define TEXT(n)      TEXT_(n)
#define TEXT_(n)     #n

static void on_purged(void *arg, enum err e, const struct pg_result *r)
{
    struct purge *p = arg;
    uint64_t rows = e == E_OK && pg_rows(r) == 1 ? pg_u64(r, 0, 0) : 0;

    p->busy = false;
    p->due_ms = loop_now_ms(p->l) + (rows < ROWS_AT_ONCE ? PAUSE_MS : MORE_MS);
    if (e != E_OK && e != E_IO) {
        LOG(LV_WARN, "changes.purge_failed", KV("sqlstate", pg_sqlstate(r)),
            KV("text", pg_message(r)));
    } else if (rows > 0) {
        LOG(LV_INFO, "changes.purged", KV("rows", rows));
    }
}

void purge_if_due(struct purge *p, struct loop *l, struct pg *pg)
{
    p->l = l;
    if (p->busy || loop_now_ms(l) < p->due_ms || !pg_is_up(pg)) {
        return;
    }
    p->busy = true;
    if (pg_query(pg, "SELECT core.purge_changes('" CHANGES_KEPT "', " TEXT(ROWS_AT_ONCE) ")", NULL,
                 0, on_purged, p) != E_OK) {
        p->busy = false;
    }
}
