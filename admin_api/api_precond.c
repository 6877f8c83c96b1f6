/* If-Match: what the resource is now, by its own GET, in the transaction that changes it. */
#include <string.h>

#include "admin_api/api_int.h"

/* The GET's parameters: those of the path are the same, by name. Borrowed. */
static void take_over(const struct api_call *c, struct api_call *sub)
{
    const struct api_op *get = sub->op;

    memset(&sub->values, 0, sizeof sub->values);
    for (size_t i = 0; i < get->fields; i++) {
        sub->values.v[i] = get->field[i].otherwise;
        for (size_t k = 0; k < c->op->fields; k++) {
            if (get->field[i].in_path && strcmp(get->field[i].name, c->op->field[k].name) == 0) {
                sub->values.v[i] = c->values.v[k];
            }
        }
    }
}

static void run_get(struct api_request *r, struct api_answer *was)
{
    struct api_call *c = api_call_of(r), sub = *c;
    struct api_request get = *r;

    sub.op = c->op->path->op[API_GET];
    take_over(c, &sub);
    get.impl = &sub;
    get.body = NULL;
    get.for_update = true;
    sub.op->handler(&get, was);
    c->lost = sub.lost;
}

/* Twice: the first one may have waited for the row, and then has seen what it is joined with as
 * that was before the wait (a row whose join is another one now it does not even find). The second
 * one begins with the lock held. */
static bool read_current(struct api_request *r, struct api_answer *a)
{
    struct api_answer was = {0};

    run_get(r, &was);
    if (!api_failed(&was) || was.status == 404) {
        api_answer_clear(&was);
        run_get(r, &was);
    }
    if (api_failed(&was)) {
        *a = was; /* 404 as a rule */
        return false;
    }
    if (was.body == NULL) {
        api_answer_clear(&was);
        api_internal(a, "GET for If-Match has no body");
        return false;
    }
    r->current = json_incref(was.body);
    api_answer_clear(&was);
    return true;
}

bool api_precondition(struct api_request *r, struct api_answer *a)
{
    const struct api_op *op = api_call_of(r)->op;
    struct schema_errors errors = {0};
    char etag[API_ETAG_MAX];

    if (!read_current(r, a)) {
        return false;
    }
    if (!api_etag_of(r->current, etag)) {
        api_internal(a, "etag");
        return false;
    }
    if (!api_etag_in(httpd_header(r->http, "If-Match"), etag, false)) {
        api_problem(a, 412, "precondition-failed", "",
                    "it is not what If-Match says: GET it again");
        return false;
    }
    if (op->method != API_PATCH || r->body == NULL) {
        return true;
    }
    r->merged = api_merge(r->current, r->body);
    if (r->merged == NULL) {
        api_internal(a, "merge");
        return false;
    }
    if (!schema_check(op->body, r->merged, SCHEMA_MERGED, &errors)) {
        api_problem_fields(a, &errors);
        return false;
    }
    return true;
}
