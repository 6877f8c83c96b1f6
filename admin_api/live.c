/* Rows of gate controllers as the API shows them; all nodes asked, one call found. */
#include "admin_api/live.h"

#include <string.h>

#include "base/mem.h"

json_t *live_member(const json_t *row, const char *name)
{
    json_t *v = json_object_get(row, name);

    return v != NULL ? json_incref(v) : json_null();
}

json_t *live_or_null(const json_t *row, const char *name)
{
    json_t *v = json_object_get(row, name);
    bool none = v == NULL || (json_is_string(v) && json_string_length(v) == 0) ||
                (json_is_integer(v) && json_integer_value(v) == 0);

    return none ? json_null() : json_incref(v);
}

json_t *live_call(const json_t *row, const char *node)
{
    static const char *const as_it_is[] = {"id", "call_id", "caller", "called", "state", "started"};
    static const char *const or_null[] = {"routed",      "route",       "trunk_in", "trunk_out",
                                          "caller_line", "callee_line", "answered", "ended",
                                          "status",      "end_by"};
    json_t *o = json_pack("{s:s}", "node", node);

    for (size_t i = 0; i < sizeof as_it_is / sizeof as_it_is[0]; i++) {
        (void)json_object_set_new(o, as_it_is[i], live_member(row, as_it_is[i]));
    }
    for (size_t i = 0; i < sizeof or_null / sizeof or_null[0]; i++) {
        (void)json_object_set_new(o, or_null[i], live_or_null(row, or_null[i]));
    }
    return o;
}

json_t *live_reaches(const struct gate_answer *a, size_t n)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < n; i++) {
        const char *error = a[i].e == E_OK      ? NULL
                            : a[i].e == E_STATE ? gate_error(&a[i])
                                                : "no answer";
        (void)json_array_append_new(rows, json_pack("{s:s,s:b,s:b,s:s?}", "node", a[i].node,
                                                    "local", a[i].is_local, "reached",
                                                    a[i].e == E_OK, "error", error));
    }
    return rows;
}

size_t live_ask(struct api_request *r, const json_t *request, struct gate_answer **out)
{
    *out = mem_zalloc_array(GATES_MAX, sizeof **out);
    return *out != NULL && request != NULL ? gates_ask_all(r->gates, request, LIVE_WAIT_MS, *out)
                                           : 0;
}

size_t live_ask_op(struct api_request *r, const char *op, struct gate_answer **out)
{
    json_t *request = json_pack("{s:s}", "op", op);
    size_t n = live_ask(r, request, out);

    json_decref(request);
    return n;
}

void live_free(struct gate_answer *a, size_t n)
{
    if (a != NULL) {
        gate_answers_free(a, n);
    }
    mem_free(a);
}

static void not_found(struct api_answer *a, const struct gate_answer *all, size_t n)
{
    const char *silent = NULL;

    for (size_t i = 0; i < n && silent == NULL; i++) {
        silent = all[i].e == E_IO ? all[i].node : NULL;
    }
    if (silent == NULL) {
        api_problem(a, 404, "not-found", "", "there is no such call");
        return;
    }
    a->retry_after_s = 5;
    api_problem(a, 503, "unavailable", "", "no node that answered has this call; %s did not answer",
                silent);
}

bool live_find(struct api_request *r, struct api_answer *a, const char *id, bool ladder,
               bool octets, struct gate_answer *out)
{
    struct gate_answer *all = NULL;
    json_t *request =
        json_pack("{s:s,s:s,s:b,s:b}", "op", "call", "id", id, "ladder", ladder, "octets", octets);
    size_t n = live_ask(r, request, &all), at = 0;

    while (at < n && all[at].e != E_OK) {
        at++;
    }
    if (at == n) {
        not_found(a, all, n);
    } else {
        *out = all[at];
        all[at].answer = NULL; /* moved */
    }
    live_free(all, n);
    json_decref(request);
    return at < n;
}
