/* Lists in pages. */
#include <stdio.h>
#include <string.h>

#include "admin_api/api_int.h"

#define LIMIT_DEFAULT 100

/* The same question with the new cursor. What is too long for it goes without: the body has it. */
static void link_next(struct api_request *r, const char *cursor)
{
    struct api_call *c = api_call_of(r);
    struct view rest = r->http->query;
    char query[256];
    size_t n = 0;

    query[0] = 0;
    while (rest.n > 0) {
        size_t at = 0;
        if (!view_find(rest, '&', &at)) {
            at = rest.n;
        }
        struct view pair = view_sub(rest, 0, at);
        rest = view_sub(rest, at + 1, rest.n);
        if (pair.n > 0 && !view_starts(pair, VIEW("cursor=")) && n < sizeof query) {
            n += (size_t)snprintf(query + n, sizeof query - n, "%.*s&", (int)pair.n, pair.p);
        }
    }
    int len = n < sizeof query
                  ? snprintf(c->link, sizeof c->link, "<%.*s?%scursor=%s>; rel=\"next\"",
                             (int)r->http->path.n, r->http->path.p, query, cursor)
                  : -1;
    if (len < 0 || (size_t)len >= sizeof c->link) {
        c->link[0] = 0;
    }
}

static bool add_next(struct api_request *r, struct api_answer *a, const struct pg_result *res,
                     size_t rows, size_t limit)
{
    char cursor[API_CURSOR_MAX];
    json_t *next = json_null();

    if (rows > limit) {
        if (!api_cursor_make(r, pg_text(res, limit - 1, 1), cursor)) {
            api_internal(a, "cursor");
            return false;
        }
        link_next(r, cursor);
        next = json_string(cursor);
    }
    return json_object_set_new(a->body, "next", next) == 0;
}

static void make_page(struct api_request *r, struct api_answer *a, const struct pg_result *res,
                      size_t limit)
{
    json_t *items = json_array();
    size_t rows = pg_rows(res);

    a->body = json_pack("{s:o}", "items", items);
    for (size_t i = 0; i < rows && i < limit; i++) {
        json_t *one = api_row_json(a, res, i, 0);
        if (one == NULL || json_array_append_new(items, one) != 0) {
            api_internal(a, "page");
            return;
        }
    }
    if (a->body == NULL || !add_next(r, a, res, rows, limit)) {
        api_internal(a, "page");
    }
}

void api_list(struct api_request *r, struct api_answer *a, const char *sql,
              const struct pg_param *p, size_t n)
{
    enum { MOST = 20 };
    const char *cursor = api_param(r, "cursor");
    struct pg_param all[MOST + 2] = {PG_NULL};
    struct pg_result *res = NULL;
    char key[API_KEY_MAX + 1], count[24];
    size_t limit = api_param_u64(r, "limit");

    BUG_ON(n > MOST);
    limit = limit > 0 ? limit : LIMIT_DEFAULT;
    if (cursor != NULL && !api_cursor_open(r, cursor, key)) {
        api_problem_parameter(a, "cursor", "is none of this list: begin again without it");
        return;
    }
    if (cursor != NULL) {
        all[0] = PG_TEXT(view_of(key));
    }
    snprintf(count, sizeof count, "%zu", limit + 1);
    all[1] = PG_TEXT(view_of(count));
    for (size_t i = 0; i < n; i++) {
        all[i + 2] = p[i];
    }
    if (api_query(r, a, sql, all, n + 2, NULL, &res) == E_OK) {
        make_page(r, a, res, limit);
        pg_result_free(res);
    }
}
