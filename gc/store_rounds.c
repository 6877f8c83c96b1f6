/* Reading the rows that keys name: one statement after the other, in an order in which each finds
 * what it refers to. */
#include "gc/store_snapshot_int.h"

#define SQL_BTIS                                                                                   \
    "SELECT decode(k.id, 'hex'), " BTI_COLUMNS " FROM unnest($1::text[]) AS k(id) "                \
    "LEFT JOIN core.bti b ON b.bti_id = decode(k.id, 'hex')"
#define SQL_ACCOUNTS "SELECT line_id FROM core.line WHERE account_id = ANY($1::bigint[])"
#define SQL_LINES                                                                                  \
    "SELECT k.id, " LINE_COLUMNS " FROM unnest($1::bigint[]) AS k(id) LEFT JOIN core.line l ON "   \
    "l.line_id = k.id LEFT JOIN core.account a ON a.account_id = l.account_id" LINE_TABLES

static void round_step(struct changes *c);

static void round_over(struct changes *c, enum err e)
{
    bool moved = e == E_OK && c->round.horizon != 0;

    c->fetching = false;
    changes_silence_check(c);
    if (e == E_OK) {
        for (size_t i = 0; i < c->round.heard.n; i++) {
            recent_add(&c->recent, c->round.heard.v[i]);
        }
        if (c->round.horizon != 0) {
            c->horizon = c->round.horizon;
            c->over->horizon = c->horizon;
        }
    } else if (e == E_NOMEM) {
        c->want_load = true;
    }
    keys_clear(&c->round); /* after a failure the table names them again: the horizon stayed */
    changes_go_on(c);
    if (moved && !c->unshown) {
        atomic_store(&c->s->h_seq, c->horizon); /* not before it is shown */
    }
}

static void take_row(struct changes *c, struct patch *p)
{
    if (c->step == ROUND_BTIS) {
        const struct patch_bti *b = &p->btis[p->n_btis - 1];
        if (b->gone || b->row.revoked) {
            store_lost_rights(c->s, b->row.bti_id);
        }
    } else if (c->step == ROUND_LINES) {
        const struct patch_line *l = &p->lines[p->n_lines - 1];
        if (l->gone || l->row.barred) {
            store_lost_line(c->s, l->row.line_id);
        }
    }
}

static enum err take_plan(struct changes *c, const struct pg_result *r)
{
    enum err e = E_OK;

    if (c->step == ROUND_ROUTES) {
        patch_free(c->plan);
        c->plan = NULL;
        TRY(patch_new(&c->plan));
    }
    for (size_t i = 0; i < pg_rows(r); i++) {
        TRY(c->step == ROUND_ROUTES   ? load_route_row(c->plan, r, i)
            : c->step == ROUND_TRUNKS ? load_trunk_row(c->plan, r, i)
            : c->step == ROUND_RULES  ? load_rule_row(c->plan, r, i)
                                      : load_mode_row(c->plan, r, i));
    }
    if (c->step == ROUND_MODES) {
        TRY(patch_copy_plan(c->plan, c->over));
        c->unshown = true;
        patch_free(c->plan);
        c->plan = NULL;
    }
out:
    return e;
}

static enum err take_rows(struct changes *c, const struct pg_result *r)
{
    struct patch *p = c->over;
    enum err e = E_OK;

    if (patch_is_empty(p)) {
        c->over_since_ms = loop_now_ms(c->s->l);
    }
    if (c->step >= ROUND_ROUTES) {
        return take_plan(c, r);
    }
    c->unshown = c->unshown || c->step != ROUND_ACCOUNTS;
    for (size_t i = 0; e == E_OK && i < pg_rows(r); i++) {
        size_t before = p->n_lines + p->n_btis;
        switch (c->step) {
        case ROUND_BTIS:
            e = load_bti_row(p, r, i);
            break;
        case ROUND_LINES:
            e = load_line_row(p, r, i);
            break;
        case ROUND_ACCOUNTS:
            e = keys_add_id(&c->round.lines, pg_u64(r, i, 0)) ? E_OK : FAIL(E_NOMEM);
            break;
        case ROUND_ROUTES:
        case ROUND_TRUNKS:
        case ROUND_RULES:
        case ROUND_MODES:
        case ROUND_END:
            break;
        }
        if (e == E_OK && p->n_lines + p->n_btis > before) {
            take_row(c, p);
        }
    }
    return e;
}

static void on_rows(void *arg, enum err e, const struct pg_result *r)
{
    struct changes *c = arg;

    if (e != E_OK && e != E_IO) {
        LOG(LV_ERROR, "snapshot.read_failed", KV("sqlstate", pg_sqlstate(r)),
            KV("text", pg_message(r)));
    }
    if (e == E_OK) {
        e = take_rows(c, r);
    }
    if (e == E_OK) {
        c->step++;
        round_step(c);
    } else {
        round_over(c, e);
    }
}

static void ask(struct changes *c, const char *sql, char *list)
{
    const struct pg_param p = PG_TEXT(view_of(list));
    enum err e = list != NULL ? pg_query(c->pg, sql, &p, 1, on_rows, c) : FAIL(E_NOMEM);

    mem_free(list);
    if (e != E_OK) {
        round_over(c, e);
    }
}

static void round_step(struct changes *c)
{
    enum err e = E_OK;

    changes_silence_check(c);
    if (c->step == ROUND_BTIS && c->round.btis.n == 0) {
        c->step++;
    }
    if (c->step == ROUND_ACCOUNTS && c->round.accounts.n == 0) {
        c->step++;
    }
    if (c->step == ROUND_LINES && c->round.lines.n == 0) {
        c->step++;
    }
    if (c->step == ROUND_ROUTES && !c->round.plan) {
        c->step = ROUND_END;
    }
    switch (c->step) {
    case ROUND_BTIS:
        ask(c, SQL_BTIS, keys_btis_text(&c->round.btis));
        return;
    case ROUND_ACCOUNTS:
        ask(c, SQL_ACCOUNTS, keys_ids_text(&c->round.accounts));
        return;
    case ROUND_LINES:
        ask(c, SQL_LINES, keys_ids_text(&c->round.lines));
        return;
    case ROUND_ROUTES:
    case ROUND_TRUNKS:
    case ROUND_RULES:
    case ROUND_MODES:
        e = pg_query(c->pg,
                     c->step == ROUND_ROUTES   ? SQL_ROUTES
                     : c->step == ROUND_TRUNKS ? SQL_TRUNKS
                     : c->step == ROUND_RULES  ? SQL_RULES
                                               : SQL_MODES,
                     NULL, 0, on_rows, c);
        if (e != E_OK) {
            round_over(c, e);
        }
        return;
    case ROUND_END:
        break;
    }
    round_over(c, E_OK);
}

void changes_round(struct changes *c)
{
    struct keys spare = c->round;

    c->round = c->waiting;
    c->waiting = spare;
    keys_clear(&c->waiting);
    keys_unique(&c->round);
    c->step = ROUND_BTIS;
    c->fetching = true;
    round_step(c);
}
