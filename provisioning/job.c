#include "base/mem.h"
#include "provisioning/prov.h"

static void job_free(struct job *j)
{
    if (j->extra != NULL) {
        wipe(j->extra, j->extra_bytes);
    }
    mem_free(j->extra);
    mem_free(j);
}

static void on_answer(void *arg, enum err e, const struct pg_result *r)
{
    struct job *j = arg;
    struct conn *c = j->conn;

    if (c != NULL) {
        c->job = NULL;
    }
    if (e != E_OK && e != E_IO) {
        LOG(LV_ERROR, "prov.query_failed", KV_ERR(e),
            KV("sqlstate", r != NULL ? pg_sqlstate(r) : ""),
            KV("message", r != NULL ? pg_message(r) : ""));
    }
    j->fn(j->prov, c, j->extra, e, r);
    if (c != NULL && !c->dead && c->job == NULL) {
        conn_resume(c);
    }
    job_free(j);
}

enum err job_query(struct conn *c, const char *sql, const struct pg_param *params, size_t n,
                   job_fn *fn, void *extra, size_t extra_bytes)
{
    struct job *j = mem_zalloc(sizeof *j);
    enum err e = E_OK;

    if (j == NULL) {
        if (extra != NULL) {
            wipe(extra, extra_bytes);
        }
        mem_free(extra);
        return FAIL(E_NOMEM);
    }
    *j = (struct job){
        .prov = c->prov, .conn = c, .fn = fn, .extra = extra, .extra_bytes = extra_bytes};
    c->job = j;
    e = pg_query(c->prov->pg, sql, params, n, on_answer, j);
    if (e != E_OK) {
        c->job = NULL;
        job_free(j);
    }
    conn_events(c);
    return e;
}

void job_forget(struct conn *c)
{
    if (c->job != NULL) {
        c->job->conn = NULL;
        c->job = NULL;
    }
}
