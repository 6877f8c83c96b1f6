/* Everything from PostgreSQL: one repeatable-read transaction, row by row through cursors, on a
 * connection of its own, so that changes and call records do not wait behind it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gc/store_int.h"

#define ROWS_AT_ONCE     "5000"
#define CONNECT_MAX_MS   5000
#define STATEMENT_MAX_MS 60000

enum step {
    STEP_BEGIN,
    STEP_HORIZON,
    STEP_LINES,
    STEP_BTIS,
    STEP_TRUNKS,
    STEP_ROUTES,
    STEP_RULES,
    STEP_MODES,
    STEP_COMMIT,
    STEP_END
};

struct load {
    struct store *s;
    struct pg *pg;
    load_fn *fn;
    struct patch *all;
    enum step step;
    bool asked_rows; /* the cursor of this step is open */
    bool over;
    struct loop_timer limit;
};

/* ---- rows --------------------------------------------------------------------------------------
 */
static enum err add_numbers(struct patch *p, uint64_t line_id, struct view joined)
{
    enum err e = E_OK;

    while (joined.n > 0) {
        size_t comma = joined.n;
        (void)view_find(joined, ',', &comma);
        TRY(patch_add_number(p, line_id, view_sub(joined, 0, comma)));
        joined = view_sub(joined, comma + 1, joined.n);
    }
out:
    return e;
}

/* "id username algorithm disabled ha1 in hex" */
static enum err add_credential(struct patch *p, uint64_t line_id, struct view text)
{
    struct cursor at = cursor_over(text);
    struct credential c = {.line_id = line_id};
    struct view algorithm = {0}, disabled = {0}, hex = {0};
    uint8_t sealed[256];
    enum err e = E_OK;

    TRY(cur_u64(&at, UINT64_MAX, &c.credential_id));
    TRY(cur_lit(&at, VIEW(" ")));
    TRY(cur_until(&at, ' ', &c.username));
    TRY(cur_until(&at, ' ', &algorithm));
    TRY(cur_until(&at, ' ', &disabled));
    hex = cur_rest(&at);
    if (hex.n / 2 > sizeof sealed) {
        return FAIL(E_PARSE);
    }
    TRY(hex_get(hex, sealed, hex.n / 2));
    c.ha1_sealed = view_from(sealed, hex.n / 2);
    c.algorithm = view_eq(algorithm, VIEW("MD5")) ? DIGEST_MD5 : DIGEST_SHA256;
    c.disabled = !view_eq(disabled, VIEW("0"));
    TRY(patch_add_credential(p, &c));
out:
    return e;
}

static enum err add_credentials(struct patch *p, uint64_t line_id, struct view joined)
{
    enum err e = E_OK;

    while (joined.n > 0) {
        size_t comma = joined.n;
        (void)view_find(joined, ',', &comma);
        TRY(add_credential(p, line_id, view_sub(joined, 0, comma)));
        joined = view_sub(joined, comma + 1, joined.n);
    }
out:
    return e;
}

static void load_service(struct line *l, const struct pg_result *r, size_t row)
{
    l->services = (pg_bool(r, row, 8) ? LINE_CALLER_ID : 0u) |
                  (pg_bool(r, row, 9) ? LINE_PRIVATE : 0u) |
                  (pg_bool(r, row, 10) ? LINE_REJECTS_ANONYMOUS : 0u);
    l->no_answer_s = (uint16_t)pg_u64(r, row, 11);
    l->forward[FORWARD_ALWAYS] = pg_text(r, row, 12);
    l->forward[FORWARD_BUSY] = pg_text(r, row, 13);
    l->forward[FORWARD_NO_ANSWER] = pg_text(r, row, 14);
    l->priority = pg_text(r, row, 15);
}

/* id, LINE_COLUMNS */
enum err load_line_row(struct patch *p, const struct pg_result *r, size_t row)
{
    bool gone = pg_is_null(r, row, 1);
    struct line l = {.line_id = pg_u64(r, row, 0),
                     .account_id = pg_u64(r, row, 1),
                     .display = pg_text(r, row, 2),
                     .barred = pg_bool(r, row, 3),
                     .level = pg_u64(r, row, 4) == 1,
                     .number = pg_text(r, row, 5)};
    enum err e = E_OK;

    if (l.line_id == 0) {
        return FAIL(E_PARSE);
    }
    load_service(&l, r, row);
    TRY(patch_add_line(p, &l, gone));
    if (!gone) {
        TRY(add_numbers(p, l.line_id, pg_text(r, row, 6)));
        TRY(add_credentials(p, l.line_id, pg_text(r, row, 7)));
    }
out:
    return e;
}

/* bti_id as bytea, BTI_COLUMNS */
enum err load_bti_row(struct patch *p, const struct pg_result *r, size_t row)
{
    static const uint8_t none[16];
    struct bti_row b = {.line_id = pg_u64(r, row, 1), .revoked = pg_bool(r, row, 2)};
    size_t n = 0;
    enum err e = pg_octets(r, row, 0, b.bti_id, sizeof b.bti_id, &n);

    if (e != E_OK || n != sizeof b.bti_id) {
        return FAIL(E_PARSE);
    }
    if (memcmp(b.bti_id, none, sizeof none) == 0) {
        LOG(LV_ERROR, "snapshot.bti_refused", KV("line", b.line_id), KV("why", "its id is zero"));
        return E_OK;
    }
    return patch_add_bti(p, &b, pg_is_null(r, row, 1));
}

static uint8_t transport_of(struct view name) /* as in struct trunk */
{
    static const char *const names[] = {"", "udp", "tcp", "tls"};
    const uint8_t n = sizeof names / sizeof *names;
    uint8_t i = 0;

    while (i < n && !view_eq(name, view_of(names[i]))) {
        i++;
    }
    return i; /* an unknown one is past the end: the row is left out by name */
}

static uint8_t verify_of(struct view name) /* an unknown one: the row is left out by name */
{
    return view_eq(name, VIEW("off"))      ? STIR_VERIFY_OFF
           : view_eq(name, VIEW("mark"))   ? STIR_VERIFY_MARK
           : view_eq(name, VIEW("reject")) ? STIR_VERIFY_REJECT
                                           : STIR_VERIFY_REJECT + 1;
}

static enum number_form form_of(struct view name)
{
    return view_eq(name, VIEW("bare"))       ? NUMBER_BARE
           : view_eq(name, VIEW("national")) ? NUMBER_NATIONAL
                                             : NUMBER_E164;
}

enum err load_trunk_row(struct patch *p, const struct pg_result *r, size_t row)
{
    uint8_t sealed[256];
    size_t n = 0;
    enum err e = pg_octets(r, row, 20, sealed, sizeof sealed, &n);
    const struct trunk t = {
        .trunk_id = pg_u64(r, row, 0),
        .name = pg_text(r, row, 1),
        .host = pg_text(r, row, 2),
        .port = (uint16_t)pg_u64(r, row, 3),
        .proto = transport_of(pg_text(r, row, 4)),
        .auth = view_eq(pg_text(r, row, 5), VIEW("certificate")) ? TRUNK_BY_NAME : TRUNK_BY_ADDRESS,
        .tls_name = pg_text(r, row, 6),
        .sources = pg_text(r, row, 7),
        .trusts_identity = pg_bool(r, row, 8),
        .sends_identity = pg_bool(r, row, 9),
        .may_transit = pg_bool(r, row, 10),
        .disabled = pg_bool(r, row, 11),
        .form = form_of(pg_text(r, row, 12)),
        .strip = (uint32_t)pg_u64(r, row, 13),
        .add = pg_text(r, row, 14),
        .default_number = pg_text(r, row, 15),
        .max_channels = (uint32_t)pg_u64(r, row, 16),
        .max_cps = (uint32_t)pg_u64(r, row, 17),
        .ping_s = (uint32_t)pg_u64(r, row, 18),
        .auth_user = pg_text(r, row, 19),
        .auth_sealed = view_from(sealed, n),
        .stir_sign = pg_bool(r, row, 21),
        .stir_verify = verify_of(pg_text(r, row, 22)),
        .priority = pg_text(r, row, 23),
        .is_operator = pg_bool(r, row, 24)};

    return e == E_OK ? patch_add_trunk(p, &t) : FAIL(E_PARSE);
}

enum err load_route_row(struct patch *p, const struct pg_result *r, size_t row)
{
    const struct route route = {
        .route_id = pg_u64(r, row, 0),
        .name = pg_text(r, row, 1),
        .kind = view_eq(pg_text(r, row, 2), VIEW("emergency")) ? ROUTE_EMERGENCY : ROUTE_NEXT_HOP,
        .prefix = pg_text(r, row, 3),
        .priority = (uint32_t)pg_u64(r, row, 4),
        .next_hop = pg_text(r, row, 5),
        .trunk_id = pg_u64(r, row, 6),
        .weight = (uint32_t)pg_u64(r, row, 7),
        .max_channels = (uint32_t)pg_u64(r, row, 8),
        .when = {.days = (uint8_t)pg_u64(r, row, 9),
                 .from_min = (uint16_t)pg_u64(r, row, 10),
                 .to_min = (uint16_t)pg_u64(r, row, 11),
                 .utc_offset_min = (int16_t)((int)pg_u64(r, row, 12) - 840)}};

    return patch_add_route(p, &route);
}

enum err load_rule_row(struct patch *p, const struct pg_result *r, size_t row)
{
    const struct dial_rule rule = {.name = pg_text(r, row, 0),
                                   .prefix = pg_text(r, row, 1),
                                   .min_digits = (uint8_t)pg_u64(r, row, 2),
                                   .max_digits = (uint8_t)pg_u64(r, row, 3),
                                   .rank = (uint32_t)pg_u64(r, row, 4),
                                   .strip = (uint32_t)pg_u64(r, row, 5),
                                   .add = pg_text(r, row, 6),
                                   .is_feature = pg_bool(r, row, 7),
                                   .blocked = pg_bool(r, row, 8)};

    return patch_add_rule(p, &rule);
}

static enum mode_scope scope_of(struct view name) /* an unknown one: the row is left out */
{
    return view_eq(name, VIEW("all"))      ? MODE_ALL
           : view_eq(name, VIEW("region")) ? MODE_REGION
           : view_eq(name, VIEW("trunks")) ? MODE_TRUNKS
                                           : (enum mode_scope)(MODE_TRUNKS + 1);
}

enum err load_mode_row(struct patch *p, const struct pg_result *r, size_t row)
{
    const struct emergency_mode m = {.mode_id = pg_u64(r, row, 0),
                                     .declared_us = pg_u64(r, row, 1),
                                     .ends_us = pg_u64(r, row, 2),
                                     .scope = scope_of(pg_text(r, row, 3)),
                                     .share = (uint8_t)pg_u64(r, row, 4),
                                     .prefixes = pg_text(r, row, 5),
                                     .trunks = pg_text(r, row, 6),
                                     .exempt_lines = pg_text(r, row, 7),
                                     .exempt_trunks = pg_text(r, row, 8),
                                     .declared_by = pg_text(r, row, 9),
                                     .reason = pg_text(r, row, 10)};

    return patch_add_mode(p, &m);
}

/* ---- the transaction ---------------------------------------------------------------------------
 */
static void finish(struct load *l, enum err e)
{
    struct patch *all = l->all;

    if (l->over) {
        return;
    }
    l->over = true;
    loop_timer_stop(l->s->l, &l->limit);
    l->all = NULL;
    if (e != E_OK) {
        patch_free(all);
        all = NULL;
    }
    l->fn(l->s, e, all);
}

static const char *cursor_of(enum step step)
{
    switch (step) {
    case STEP_LINES:
        return "DECLARE c NO SCROLL CURSOR FOR SELECT l.line_id, " LINE_COLUMNS
               " FROM core.line l JOIN core.account a ON a.account_id = l.account_id" LINE_TABLES;
    case STEP_BTIS:
        return "DECLARE c NO SCROLL CURSOR FOR SELECT b.bti_id, " BTI_COLUMNS " FROM core.bti b";
    case STEP_TRUNKS:
        return "DECLARE c NO SCROLL CURSOR FOR " SQL_TRUNKS;
    case STEP_ROUTES:
        return "DECLARE c NO SCROLL CURSOR FOR " SQL_ROUTES;
    case STEP_RULES:
        return "DECLARE c NO SCROLL CURSOR FOR " SQL_RULES;
    case STEP_MODES:
        return "DECLARE c NO SCROLL CURSOR FOR " SQL_MODES;
    case STEP_BEGIN:
    case STEP_HORIZON:
    case STEP_COMMIT:
    case STEP_END:
        break;
    }
    return NULL;
}

static void on_answer(void *arg, enum err e, const struct pg_result *r);

static void ask(struct load *l)
{
    const char *sql = cursor_of(l->step);
    enum err e = E_OK;

    if (l->step == STEP_BEGIN) {
        sql = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    } else if (l->step == STEP_HORIZON) {
        sql = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text";
    } else if (l->step == STEP_COMMIT) {
        sql = "COMMIT";
    } else if (l->asked_rows) {
        sql = "FETCH " ROWS_AT_ONCE " FROM c";
    }
    e = pg_query(l->pg, sql, NULL, 0, on_answer, l);
    if (e != E_OK) {
        finish(l, e);
    }
}

static enum err take_rows(struct load *l, const struct pg_result *r)
{
    enum err e = E_OK;

    for (size_t i = 0; e == E_OK && i < pg_rows(r); i++) {
        e = l->step == STEP_LINES    ? load_line_row(l->all, r, i)
            : l->step == STEP_BTIS   ? load_bti_row(l->all, r, i)
            : l->step == STEP_TRUNKS ? load_trunk_row(l->all, r, i)
            : l->step == STEP_ROUTES ? load_route_row(l->all, r, i)
            : l->step == STEP_RULES  ? load_rule_row(l->all, r, i)
                                     : load_mode_row(l->all, r, i);
    }
    return e;
}

static void on_closed(void *arg, enum err e, const struct pg_result *r)
{
    struct load *l = arg;

    (void)r;
    if (e != E_OK) {
        finish(l, e);
        return;
    }
    l->step++;
    ask(l);
}

static void next_cursor(struct load *l)
{
    enum err e = pg_query(l->pg, "CLOSE c", NULL, 0, on_closed, l);

    l->asked_rows = false;
    if (e != E_OK) {
        finish(l, e);
    }
}

static void on_answer(void *arg, enum err e, const struct pg_result *r)
{
    struct load *l = arg;

    if (l->over) {
        return;
    }
    if (e != E_OK) {
        LOG(LV_WARN, "snapshot.load_failed", KV("sqlstate", pg_sqlstate(r)),
            KV("text", pg_message(r)));
        finish(l, e);
    } else if (cursor_of(l->step) == NULL) {
        if (l->step == STEP_HORIZON) {
            l->all->horizon = pg_u64(r, 0, 0);
        }
        l->step++;
        if (l->step == STEP_END) {
            finish(l, E_OK);
        } else {
            ask(l);
        }
    } else if (!l->asked_rows) {
        l->asked_rows = true;
        ask(l);
    } else if (pg_rows(r) > 0) {
        e = take_rows(l, r);
        if (e != E_OK) {
            finish(l, e);
        } else {
            ask(l);
        }
    } else {
        next_cursor(l);
    }
}

static void on_up(void *arg, bool up)
{
    struct load *l = arg;

    if (up && l->step == STEP_BEGIN && !l->over) {
        loop_timer_stop(l->s->l, &l->limit);
        ask(l);
    } else if (!up) {
        finish(l, E_IO);
    }
}

static void on_limit(void *arg)
{
    finish(arg, FAIL(E_TIMEOUT));
}

enum err load_start(struct store *s, load_fn *fn, struct load **out)
{
    struct load *l = mem_zalloc(sizeof *l);
    const struct pg_cfg pg = {.conninfo = s->cfg.conninfo,
                              .max_queue = 4,
                              .statement_timeout_ms = STATEMENT_MAX_MS,
                              .on_up = on_up,
                              .arg = l};
    enum err e = l != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    l->s = s;
    l->fn = fn;
    TRY(patch_new(&l->all));
    patch_plan(l->all);
    TRY(loop_timer_start(s->l, &l->limit, CONNECT_MAX_MS, on_limit, l));
    TRY(pg_open(s->l, &pg, &l->pg));
    *out = l;
    l = NULL;
out:
    load_free(l);
    return e;
}

void load_free(struct load *l)
{
    if (l != NULL) {
        l->over = true;
        loop_timer_stop(l->s->l, &l->limit);
        pg_close(l->pg);
        patch_free(l->all);
        mem_free(l);
    }
}
