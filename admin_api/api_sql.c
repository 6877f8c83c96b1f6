/* Statements of handlers, and what their failures mean for who asked. */
#include <stdio.h>
#include <string.h>

#include "admin_api/api_int.h"
#include "base/log.h"

struct meaning {
    const char *state; /* SQLSTATE, or its first characters */
    unsigned status;
    const char *type, *words;
};

/* The first that fits. Words of our own functions (RAISE) go out in place of these. */
static const struct meaning MEANINGS[] = {
    {"23505", 409, "exists", "it exists already"},
    {"23P01", 409, "conflict", "it overlaps with another one"},
    {"23001", 409, "in-use", "something else needs it"},
    {"23502", 422, "invalid", "a field is required"},
    {"23514", 422, "invalid", "a value is not one that it may have"},
    {"22", 422, "invalid", "a value is not one that it may have"},
    {"42501", 403, "forbidden", "not permitted"},
    {"55000", 409, "conflict", "it is not in the state for this"},
    {"P0002", 404, "not-found", "there is no such thing"},
    {"P0001", 422, "invalid", "refused"},
    {"55P03", 503, "unavailable", "somebody else is changing it"},
    {"40", 503, "unavailable", "somebody else is changing it"},
    {"57014", 503, "unavailable", "the database took too long"},
    {"25P03", 503, "unavailable", "the request took too long"},
    {"53", 503, "unavailable", "the database has no room"},
};

/* A foreign key: nothing such there for a new row, or others hang on the old one. */
static const struct meaning NO_SUCH = {"23503", 422, "invalid", "there is no such thing"};
static const struct meaning IN_USE = {"23503", 409, "in-use", "something else needs it"};

static const struct meaning *meaning_of(const struct pg_result *res, struct view method)
{
    const char *state = pg_sqlstate(res);

    if (strcmp(state, "23503") == 0) {
        bool delete = view_eq(method, VIEW("DELETE")) ||
                      view_starts(view_of(pg_message(res)), VIEW("update or delete"));
        return delete ? &IN_USE : &NO_SUCH;
    }
    for (size_t i = 0; i < sizeof MEANINGS / sizeof *MEANINGS; i++) {
        if (strncmp(MEANINGS[i].state, state, strlen(MEANINGS[i].state)) == 0) {
            return &MEANINGS[i];
        }
    }
    return NULL;
}

static const char *pointer_of(const struct pg_result *res, const char *const *pointers)
{
    for (size_t i = 0; pointers != NULL && pointers[i] != NULL && pointers[i + 1] != NULL; i += 2) {
        if (strcmp(pointers[i], pg_constraint(res)) == 0 ||
            strcmp(pointers[i], pg_column(res)) == 0) {
            return pointers[i + 1];
        }
    }
    return "";
}

/* Ours: for people, one line. The server's own words tell of tables and stay in the log. */
static const char *words_of(const struct pg_result *res, const struct meaning *m)
{
    return pg_is_raised(res) ? pg_message(res) : m->words;
}

void api_sql_problem(struct api_request *r, struct api_answer *a, enum err e,
                     const struct pg_result *res, const char *const *pointers)
{
    struct api_call *c = api_call_of(r);
    const struct meaning *m = res != NULL ? meaning_of(res, r->http->method) : NULL;

    if (e == E_RANGE && res == NULL) { /* a text with a NUL, or more than libpq can count */
        api_problem(a, 422, "invalid", "", "a text cannot be stored");
        return;
    }
    if (e == E_IO || e == E_NOMEM || res == NULL) {
        c->lost = true;
        api_unavailable(a);
        return;
    }
    if (m == NULL || (m->status == 403 && !pg_is_raised(res))) {
        LOG(LV_ERROR, "admin.sql", KV("operation", c->op->id), KV("state", pg_sqlstate(res)),
            KV("why", pg_message(res)));
    }
    if (m == NULL) {
        api_internal(a, "sql");
        return;
    }
    const char *words = words_of(res, m);
    if (m->status == 503) {
        a->retry_after_s = API_RETRY_S;
    }
    api_problem(a, m->status, m->type, pointer_of(res, pointers), "%.*s",
                (int)strcspn(words, "\r\n"), words);
}

/* ---- proposals ---------------------------------------------------------------------------------
 */
static json_t *changes_of(const char *numbers, char first[24])
{
    json_t *list = json_array();
    struct view rest = view_of(numbers), word;

    first[0] = 0;
    while (rest.n > 0) {
        size_t at = 0;
        uint64_t id = 0;
        if (!view_find(rest, ' ', &at)) {
            at = rest.n;
        }
        word = view_sub(rest, 0, at);
        rest = view_sub(rest, at + 1, rest.n);
        if (view_to_u64(word, INT64_MAX, &id) == E_OK) {
            if (first[0] == 0) {
                snprintf(first, 24, "%llu", (unsigned long long)id);
            }
            (void)json_array_append_new(list, json_integer((json_int_t)id));
        }
    }
    return list;
}

bool api_take_proposals(struct api_request *r, struct api_answer *a)
{
    struct api_call *c = api_call_of(r);
    struct pg_result *res = NULL;
    char first[24];

    if (c->proposed[0] != 0) {
        return true;
    }
    enum err e = pg_sync_query(
        r->db, "SELECT coalesce(current_setting('headgate.proposed', true), '')", NULL, 0, &res);
    if (e != E_OK) {
        api_sql_problem(r, a, e, res, NULL);
        pg_result_free(res);
        return false;
    }
    if (view_to_cstr(pg_text(res, 0, 0), c->proposed, sizeof c->proposed) != E_OK) {
        api_internal(a, "too many proposals");
    }
    pg_result_free(res);
    if (c->proposed[0] == 0) {
        return false;
    }
    api_answer_clear(a);
    json_t *list = changes_of(c->proposed, first);
    a->status = 202;
    a->impl = json_pack("{s:s, s:o}", "state", "proposed", "changes", list);
    snprintf(a->location, sizeof a->location, API_BASE "/changes/%s", first);
    return true;
}

/* ---- statements --------------------------------------------------------------------------------
 */
enum err api_query(struct api_request *r, struct api_answer *a, const char *sql,
                   const struct pg_param *p, size_t n, const char *const *pointers,
                   struct pg_result **out)
{
    struct pg_result *res = NULL;

    if (r->db == NULL) {
        api_unavailable(a);
        return FAIL(E_IO);
    }
    enum err e = pg_sync_query(r->db, sql, p, n, &res);
    if (e != E_OK) {
        api_sql_problem(r, a, e, res, pointers);
    } else if (pg_rows(res) == 0 && api_call_of(r)->op->db == API_DB_WRITE && !r->for_update &&
               api_take_proposals(r, a)) {
        e = FAIL(E_STATE); /* nothing came back because nothing was done yet */
    } else if (api_failed(a)) {
        e = FAIL(E_IO);
    }
    if (e == E_OK && out != NULL) {
        *out = res;
    } else {
        pg_result_free(res);
    }
    return e;
}

json_t *api_row_json(struct api_answer *a, const struct pg_result *r, size_t row, size_t col)
{
    struct view text = pg_text(r, row, col);
    json_error_t at;
    json_t *j = json_loadb(text.p, text.n, JSON_DECODE_ANY, &at);

    if (j == NULL) {
        api_internal(a, "row is no JSON");
    }
    return j;
}

void api_get(struct api_request *r, struct api_answer *a, const char *sql, const struct pg_param *p,
             size_t n)
{
    struct pg_result *res = NULL;

    if (api_query(r, a, sql, p, n, NULL, &res) != E_OK) {
        return;
    }
    if (pg_rows(res) == 0) {
        api_problem(a, 404, "not-found", "", "there is no such thing");
    } else {
        a->body = api_row_json(a, res, 0, 0);
    }
    pg_result_free(res);
}
