/* Which line a number or a BTI belongs to. All rows are read, so that no question to the database
 * names a target, and only when something in these tables has changed. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "lawful_intercept/li_db.h"
#include "lawful_intercept/li_int.h"

enum { RETRY_MS = 1000, SILENT_MS = 4000, ALL_MS = 60000 }; /* all: every number in one answer */

static void hang_up(struct li *l)
{
    pg_sync_close(l->db);
    l->db = NULL;
    l->directory_retry_ms = clock_mono_ms(clock_system()) + RETRY_MS;
}

static bool ask(struct li *l, const char *sql, unsigned silent_ms, struct pg_result **out)
{
    *out = NULL;
    pg_sync_limit(l->db, silent_ms);
    if (pg_sync_query(l->db, sql, NULL, 0, out) == E_OK) {
        return true;
    }
    LOG(LV_ERROR, "directory.query_failed", KV("sqlstate", *out != NULL ? pg_sqlstate(*out) : ""));
    pg_result_free(*out);
    *out = NULL;
    hang_up(l);
    return false;
}

/* Sets the line of every order whose target is in the rows: text, line id. */
static void match(struct li *l, const struct pg_result *r, enum li_target kind)
{
    for (size_t i = 0; i < li_book_orders(l->book); i++) {
        struct li_entry *entry = li_book_order_at(l->book, i);
        uint64_t line = 0;
        if (entry->target != kind) {
            continue;
        }
        for (size_t row = 0; row < pg_rows(r) && line == 0; row++) {
            if (view_eq_nocase(pg_text(r, row, 0), view_of(entry->what))) {
                line = pg_u64(r, row, 1);
            }
        }
        if (line != entry->order.line) {
            entry->order.line = line;
            atomic_store(&l->book_changed, true);
        }
    }
}

void li_directory_follow(struct li *l)
{
    struct pg_result *seq = NULL, *numbers = NULL, *btis = NULL;
    char why[256] = "";
    uint64_t now = 0;

    if (l->directory[0] == 0) { /* targets are lines alone */
        atomic_store(&l->directory_known, true);
        return;
    }
    if (l->db == NULL && (clock_mono_ms(clock_system()) < l->directory_retry_ms ||
                          li_db_open(l->directory, ALL_MS, &l->db, why, sizeof why) != E_OK)) {
        l->db = NULL;
        if (why[0] != 0) {
            hang_up(l);
        }
        return;
    }
    if (!ask(l,
             "SELECT coalesce(max(seq), 0) FROM core.change_log WHERE tbl IN ('number', 'bti', "
             "'line')",
             SILENT_MS, &seq)) {
        return;
    }
    now = pg_u64(seq, 0, 0);
    pg_result_free(seq);
    if (atomic_load(&l->directory_known) && now == l->directory_seq) {
        return;
    }
    if (ask(l, "SELECT number, line_id FROM core.number", ALL_MS, &numbers) &&
        ask(l, "SELECT encode(bti_id, 'hex'), line_id FROM core.bti WHERE revoked_at IS NULL",
            ALL_MS, &btis)) {
        pthread_mutex_lock(&l->lock);
        match(l, numbers, LI_TARGET_NUMBER);
        match(l, btis, LI_TARGET_BTI);
        atomic_store(&l->directory_known, true); /* the tap waits for it: not before it is true */
        pthread_mutex_unlock(&l->lock);
        l->directory_seq = now;
    } else {
        atomic_store(&l->directory_known, false);
    }
    pg_result_free(numbers);
    pg_result_free(btis);
}
