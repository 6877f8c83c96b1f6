/* Problem documents (RFC 9457). */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin_api/api_int.h"
#include "base/log.h"

/* docs/admin-api.md has the same table; tools/check_api compares. */
static const struct {
    const char *type, *title;
} PROBLEMS[] = {
    {"bad-json", "The body is no JSON that we take"},
    {"bad-parameter", "A parameter is not as documented"},
    {"bad-request", "The request makes no sense"},
    {"unauthorized", "Who are you?"},
    {"forbidden", "You may not do this"},
    {"not-found", "There is no such thing"},
    {"method-not-allowed", "This cannot be done with it"},
    {"timeout", "The request did not come in time"},
    {"conflict", "It is not in the state for this"},
    {"exists", "It exists already"},
    {"in-use", "Something else needs it"},
    {"under-way", "A request with this Idempotency-Key is under way, or ended without a trace"},
    {"precondition-failed", "It has changed since you read it"},
    {"too-large", "The request is too large"},
    {"unsupported-media-type", "The body is of another media type"},
    {"invalid", "Some fields are not as documented"},
    {"key-reused", "This Idempotency-Key was used for another request"},
    {"precondition-required", "Say which state you change: If-Match"},
    {"rate-limited", "Too many requests"},
    {"internal", "Our mistake"},
    {"no-gate", "No gate controller could do it"},
    {"unavailable", "Not now"},
};

const char *api_problem_title(const char *type)
{
    for (size_t i = 0; i < sizeof PROBLEMS / sizeof *PROBLEMS; i++) {
        if (strcmp(PROBLEMS[i].type, type) == 0) {
            return PROBLEMS[i].title;
        }
    }
    return NULL;
}

static json_t *document(struct api_answer *a, unsigned status, const char *type, const char *detail)
{
    char uri[128];
    const char *title = api_problem_title(type);

    if (a->impl == NULL) {
        snprintf(uri, sizeof uri, API_PROBLEM_TYPE "%s", type);
        a->status = status;
        a->impl =
            json_pack("{s:s, s:s, s:i, s:s}", "type", uri, "title",
                      title != NULL ? title : "Refused", "status", (int)status, "detail", detail);
    }
    return a->impl;
}

/* To errors[] of the document. */
static void add_error(json_t *doc, const char *kind, const char *where, const char *detail)
{
    json_t *errors = json_object_get(doc, "errors");

    if (errors == NULL && doc != NULL) {
        errors = json_array();
        if (json_object_set_new(doc, "errors", errors) != 0) {
            return; /* no memory: the status and the words go out all the same */
        }
    }
    if (json_array_size(errors) < SCHEMA_ERRORS_MAX) {
        (void)json_array_append_new(errors, json_pack("{s:s, s:s}", kind, where, "detail", detail));
    }
}

void api_problem(struct api_answer *a, unsigned status, const char *type, const char *pointer,
                 const char *fmt, ...)
{
    char detail[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(detail, sizeof detail, fmt, ap);
    va_end(ap);
    json_t *doc = document(a, status, type, detail);
    if (pointer != NULL && pointer[0] != 0) {
        add_error(doc, "pointer", pointer, detail);
    }
}

void api_problem_parameter(struct api_answer *a, const char *name, const char *detail)
{
    char text[320];

    snprintf(text, sizeof text, "%s %s", name, detail);
    add_error(document(a, 400, "bad-parameter", text), "parameter", name, detail);
}

void api_problem_fields(struct api_answer *a, const struct schema_errors *errors)
{
    char text[SCHEMA_POINTER_MAX + 224];

    snprintf(text, sizeof text, "%s%s%s", errors->e[0].pointer,
             errors->e[0].pointer[0] != 0 ? " " : "the body ", errors->e[0].detail);
    json_t *doc = document(a, 422, "invalid", text);
    for (size_t i = 0; i < errors->n; i++) {
        add_error(doc, "pointer", errors->e[i].pointer, errors->e[i].detail);
    }
}

bool api_failed(const struct api_answer *a)
{
    return a->impl != NULL || a->status >= 400;
}

void api_unavailable(struct api_answer *a)
{
    api_problem(a, 503, "unavailable", "", "the database cannot be reached");
    a->retry_after_s = API_RETRY_S;
}

void api_internal(struct api_answer *a, const char *where)
{
    LOG(LV_ERROR, "admin.internal", KV("where", where));
    api_problem(a, 500, "internal", "", "the server made a mistake; the request id leads to it");
}

char *api_problem_text(const struct api_answer *a, const char *request_id)
{
    json_t *doc = a->impl;

    if (doc == NULL || (a->status >= 400 &&
                        json_object_set_new(doc, "request_id", json_string(request_id)) != 0)) {
        return NULL;
    }
    return json_dumps(doc, JSON_COMPACT);
}

void api_answer_clear(struct api_answer *a)
{
    json_decref(a->body);
    json_decref(a->impl);
    if (a->pull != NULL && a->done != NULL) {
        a->done(a->arg);
    }
    memset(a, 0, sizeof *a);
}
