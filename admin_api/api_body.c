/* The body of a request: its media type, its JSON, its schema. */
#include <stdio.h>
#include <string.h>

#include "admin_api/api_int.h"

/* Type and subtype, without parameters; "charset=utf-8" is the only one that could stand there. */
static struct view media_type(const struct httpd_request *http)
{
    struct view v = httpd_header(http, "Content-Type");
    size_t at = 0;

    return view_trim(view_find(v, ';', &at) ? view_sub(v, 0, at) : v);
}

static bool check_type(const struct api_request *r, struct api_answer *a)
{
    const char *want = api_call_of(r)->op->body_kind == API_BODY_PATCH
                           ? "application/merge-patch+json"
                           : "application/json";

    struct view coding = httpd_header(r->http, "Content-Encoding");

    if (coding.n > 0 && !view_eq_nocase(coding, VIEW("identity"))) {
        api_problem(a, 415, "unsupported-media-type", "", "no content coding is taken");
        return false;
    }
    if (view_eq_nocase(media_type(r->http), view_of(want))) {
        return true;
    }
    api_problem(a, 415, "unsupported-media-type", "", "the body must be %s", want);
    return false;
}

bool api_take_body(struct api_request *r, struct api_answer *a)
{
    const struct api_op *op = api_call_of(r)->op;
    struct schema_errors errors = {0};
    char why[256];

    if (r->http->body.n == 0) {
        if (op->body_kind != API_BODY_NONE && op->body_required) {
            api_problem(a, 400, "bad-json", "", "there is no body");
        }
        return !api_failed(a);
    }
    if (op->body_kind == API_BODY_NONE) {
        api_problem(a, 400, "bad-request", "", "no body is taken here");
        return false;
    }
    if (!check_type(r, a)) {
        return false;
    }
    if (api_json_read(r->http->body, &r->body, why, sizeof why) != E_OK) {
        api_problem(a, 400, "bad-json", "", "%s", why);
        return false;
    }
    if (!schema_check(op->body, r->body,
                      op->body_kind == API_BODY_PATCH ? SCHEMA_PATCH : SCHEMA_WHOLE, &errors)) {
        api_problem_fields(a, &errors);
        return false;
    }
    return true;
}
