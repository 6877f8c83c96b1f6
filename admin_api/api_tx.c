/* One request, one transaction. */
#include <stdio.h>
#include <string.h>

#include "admin_api/api_int.h"
#include "base/clock.h"

#define WAIT_MS 2000
#define SLOW_MS 1000 /* a begin that fails after that has met a server that hangs */

/* Who speaks, for the audit log and for who must not approve his own change; and that what a policy
 * wants two people for is to be proposed. */
static const char TELL[] =
    "SELECT set_config('headgate.person', $1, true), set_config('headgate.request', $2, true), "
    "set_config('headgate.propose', 'on', true), set_config('headgate.proposed', '', true)";

static enum err begin_on(const struct api_request *r, struct pg_sync *db, enum api_db mode)
{
    enum err e = E_OK;

    TRY(pg_sync_query(db, mode == API_DB_READ ? "BEGIN READ ONLY" : "BEGIN", NULL, 0, NULL));
    TRY(pg_sync_query(
        db, TELL,
        (struct pg_param[]){PG_TEXT(view_of(r->who.name)), PG_TEXT(view_of(r->http->request_id))},
        2, NULL));
out:
    return e;
}

bool api_begin(struct api_request *r, struct api_answer *a, enum api_db mode)
{
    struct api_call *c = api_call_of(r);
    struct pg_sync *db = NULL;

    /* One that was idle may have lost its server: the next one is looked at. All may have. */
    for (unsigned tries = 0; tries <= r->api->cfg.pool; tries++) {
        enum err e = api_pool_take(r->api->pool, WAIT_MS, &db);
        if (e != E_OK) {
            api_unavailable(a);
            return false;
        }
        uint64_t began = clock_mono_ms(clock_system());
        e = begin_on(r, db, mode);
        if (e == E_OK) {
            r->db = db;
            c->in_transaction = true;
            c->lost = false;
            return true;
        }
        api_pool_give(r->api->pool, db, true);
        if (e != E_IO) {
            api_internal(a, "begin");
            return false;
        }
        if (clock_mono_ms(clock_system()) - began > SLOW_MS) {
            break;
        }
    }
    api_unavailable(a);
    return false;
}

static void give_back(struct api_request *r)
{
    struct api_call *c = api_call_of(r);

    if (r->db != NULL) {
        api_pool_give(r->api->pool, r->db, c->lost);
    }
    r->db = NULL;
    c->in_transaction = false;
}

static void roll_back(struct api_request *r)
{
    struct api_call *c = api_call_of(r);

    if (!c->lost && pg_sync_query(r->db, "ROLLBACK", NULL, 0, NULL) != E_OK) {
        c->lost = true;
    }
    give_back(r);
}

/* What waits for the end of the transaction (the audit log) may still refuse. */
static bool commit(struct api_request *r, struct api_answer *a)
{
    struct pg_result *res = NULL;
    struct api_call *c = api_call_of(r);
    enum err e = pg_sync_query(r->db, "COMMIT", NULL, 0, &res);

    if (e != E_OK) {
        api_answer_clear(a);
        c->proposed[0] = 0; /* all of it is taken back */
        api_sql_problem(r, a, e, res, NULL);
    }
    pg_result_free(res);
    give_back(r);
    c->committed = e == E_OK;
    return e == E_OK;
}

/* A proposal is a refusal to the handler and a change to the database. */
static bool is_refused(const struct api_call *c, const struct api_answer *a)
{
    return api_failed(a) && c->proposed[0] == 0;
}

void api_end(struct api_request *r, struct api_answer *a)
{
    struct api_call *c = api_call_of(r);

    if (!c->in_transaction) {
        return;
    }
    if (!is_refused(c, a) && !c->lost && c->op->db == API_DB_WRITE) {
        (void)api_take_proposals(r, a);
        if (c->idempotency_key.n > 0 && !is_refused(c, a)) {
            (void)api_idem_keep(r, a);
        }
    }
    if (c->lost && !is_refused(c, a)) {
        api_answer_clear(a);
        c->proposed[0] = 0;
        api_unavailable(a);
    }
    if (is_refused(c, a)) {
        roll_back(r);
    } else {
        (void)commit(r, a);
    }
}

bool api_again(struct api_request *r, struct api_answer *a)
{
    struct api_call *c = api_call_of(r);

    BUG_ON(c->in_transaction || !c->committed);
    return api_begin(r, a, API_DB_WRITE);
}

void api_abandon(struct api_request *r, struct api_answer *scratch)
{
    struct api_call *c = api_call_of(r);

    if (c->in_transaction) {
        roll_back(r);
    }
    c->committed = true; /* what was before stays so */
    api_answer_clear(scratch);
}

bool api_commit(struct api_request *r, struct api_answer *a)
{
    struct api_call *c = api_call_of(r);

    if (!c->in_transaction || is_refused(c, a) || api_take_proposals(r, a)) {
        return false; /* api_end() does what is to be done */
    }
    if (c->idempotency_key.n > 0 && !api_idem_keep(r, a)) {
        return false;
    }
    return commit(r, a);
}
