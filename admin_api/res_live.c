/* Live calls: the list, one, its end, the stream of events. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "admin_api/events.h"
#include "admin_api/live.h"
#include "base/clock.h"
#include "base/mem.h"

enum { END_LOOKS = 40, END_LOOK_MS = 25 }; /* a second in all until a call must be over */

static const char *or_empty(const char *text)
{
    return text != NULL ? text : "";
}

/* ---- list --------------------------------------------------------------------------------------
 */
static json_t *list_request(const struct api_request *r)
{
    const char *state = or_empty(api_param(r, "state"));
    bool ended = strcmp(state, "ended") == 0;

    return json_pack("{s:s,s:s,s:s,s:s,s:I,s:I}", "op", ended ? "recent" : "calls", "number",
                     or_empty(api_param(r, "number")), "trunk", or_empty(api_param(r, "trunk")),
                     "state", state, "line", (json_int_t)api_param_u64(r, "line"), "limit",
                     (json_int_t)api_param_u64(r, "limit"));
}

struct found { /* a row of somebody's list */
    const json_t *row;
    const char *node, *when; /* RFC 3339: the order of texts is that of times */
};

static int newest_first(const void *va, const void *vb)
{
    const struct found *a = va, *b = vb;

    return strcmp(b->when, a->when);
}

static const char *text_of(const json_t *row, const char *name)
{
    return or_empty(json_string_value(json_object_get(row, name)));
}

static size_t count_rows(const struct gate_answer *all, size_t n)
{
    size_t sum = 0;

    for (size_t i = 0; i < n; i++) {
        sum += json_array_size(json_object_get(all[i].answer, "calls"));
    }
    return sum;
}

/* Moves nothing: rows stay the answers'. Returns how many there are. */
static size_t gather(const struct api_request *r, const struct gate_answer *all, size_t n,
                     struct found *f, bool *truncated)
{
    const char *only = api_param(r, "node");
    size_t k = 0, at = 0;
    const json_t *row = NULL;

    for (size_t i = 0; i < n; i++) {
        if (only != NULL && strcmp(only, all[i].node) != 0) {
            continue;
        }
        *truncated = *truncated || json_is_true(json_object_get(all[i].answer, "truncated"));
        json_array_foreach(json_object_get(all[i].answer, "calls"), at, row)
        {
            const char *ended = text_of(row, "ended");
            f[k++] =
                (struct found){row, all[i].node, ended[0] != 0 ? ended : text_of(row, "started")};
        }
    }
    return k;
}

static void list_calls(struct api_request *r, struct api_answer *a)
{
    json_t *request = list_request(r), *items = json_array();
    size_t limit = (size_t)api_param_u64(r, "limit");
    struct gate_answer *all = NULL;
    size_t n = live_ask(r, request, &all), rows = count_rows(all, n);
    struct found *f = mem_zalloc_array(rows + 1, sizeof *f);
    bool truncated = false;
    size_t k = f != NULL ? gather(r, all, n, f, &truncated) : 0;

    if (k > 0) {
        qsort(f, k, sizeof *f, newest_first);
    }
    for (size_t i = 0; i < k && i < limit; i++) {
        (void)json_array_append_new(items, live_call(f[i].row, f[i].node));
    }
    a->body = json_pack("{s:o,s:b,s:o}", "items", items, "truncated", truncated || k > limit,
                        "nodes", live_reaches(all, n));
    mem_free(f);
    live_free(all, n);
    json_decref(request);
}

/* ---- one ---------------------------------------------------------------------------------------
 */
static void get_call(struct api_request *r, struct api_answer *a)
{
    struct gate_answer said;

    if (live_find(r, a, api_param(r, "id"), false, false, &said)) {
        a->body = live_call(json_object_get(said.answer, "call"), said.node);
        gate_answers_free(&said, 1);
    }
}

static const char *state_of(const struct gate_answer *said)
{
    return text_of(json_object_get(said->answer, "call"), "state");
}

/* In the audit log before it happens. False: it must not happen. */
static bool note_end(struct api_request *r, struct api_answer *a, const struct gate_answer *said)
{
    const json_t *call = json_object_get(said->answer, "call");
    json_t *shown = live_call(call, said->node);
    json_t *detail = json_pack("{s:s,s:O,s:o}", "act", "end", "reason",
                               json_object_get(r->body, "reason"), "call", shown);
    char object[64], *text = json_dumps(detail, JSON_COMPACT);
    struct pg_param p[2];
    bool noted = false;

    (void)snprintf(object, sizeof object, "call %s", text_of(call, "id"));
    p[0] = PG_TEXT(view_of(object));
    p[1] = PG_TEXT(view_of(or_empty(text)));
    noted = api_query(r, a, "SELECT core.note_effect($1, $2::jsonb)", p, 2, NULL, NULL) == E_OK;
    free(text); /* jansson allocated it */
    json_decref(detail);
    return noted && api_commit(r, a);
}

/* What it is once it is over, or soon after. */
static void tell_end(struct api_request *r, struct api_answer *a, const char *node, const char *id)
{
    json_t *request = json_pack("{s:s,s:s,s:b}", "op", "call", "id", id, "ladder", 0);
    const struct timespec pause = {.tv_nsec = END_LOOK_MS * 1000000l};

    for (unsigned i = 0; i < END_LOOKS; i++) {
        struct gate_answer said;
        bool heard = gates_ask(r->gates, node, request, LIVE_WAIT_MS, &said) == E_OK;
        bool over = heard && strcmp(state_of(&said), "ended") == 0;
        if (heard) {
            json_decref(a->body);
            a->body = live_call(json_object_get(said.answer, "call"), said.node);
        }
        gate_answers_free(&said, 1);
        if (over) {
            break;
        }
        (void)nanosleep(&pause, NULL);
    }
    json_decref(request);
}

static void order_end(struct api_request *r, struct api_answer *a, const char *node, const char *id)
{
    json_t *request =
        json_pack("{s:s,s:s,s:O,s:s,s:b}", "op", "end", "id", id, "reason",
                  json_object_get(r->body, "reason"), "by", r->who.name, "spare_emergency", 1);
    struct gate_answer said;
    enum err e = gates_ask(r->gates, node, request, LIVE_WAIT_MS, &said);

    if (e == E_OK) {
        tell_end(r, a, node, id);
    } else if (e == E_STATE) {
        api_problem(a, 409, "conflict", "", "%s", gate_error(&said));
    } else {
        a->retry_after_s = 5;
        api_problem(a, 503, "unavailable", "",
                    "%s did not answer: whether the call ended is not known", node);
    }
    gate_answers_free(&said, 1);
    json_decref(request);
}

/* Who ends one call after the other would preempt alone. */
static bool one_is_enough(struct api_request *r, struct api_answer *a)
{
    struct pg_result *res = NULL;

    if (api_query(r, a,
                  "SELECT coalesce((SELECT p.enabled FROM core.policy p WHERE p.name = "
                  "'two_person.preemption'), true)",
                  NULL, 0, NULL, &res) != E_OK) {
        return false;
    }
    if (pg_bool(res, 0, 0)) {
        api_problem(a, 409, "conflict", "",
                    "two_person.preemption is on: two people end a call, by a preemption of it");
    }
    pg_result_free(res);
    return !api_failed(a);
}

void live_end_call(struct api_request *r, struct api_answer *a)
{
    struct gate_answer said;
    char id[64] = "";

    if (!live_find(r, a, api_param(r, "id"), false, false, &said)) {
        return;
    }
    (void)snprintf(id, sizeof id, "%s", text_of(json_object_get(said.answer, "call"), "id"));
    if (strcmp(state_of(&said), "ended") == 0) {
        api_problem(a, 409, "conflict", "", "that call has ended");
    } else if (strcmp(text_of(json_object_get(said.answer, "call"), "route"), "emergency") == 0) {
        api_problem(a, 409, "conflict", "", "that is an emergency call");
    } else if (one_is_enough(r, a) && note_end(r, a, &said)) {
        order_end(r, a, said.node, id);
    }
    gate_answers_free(&said, 1);
}

/* ---- events ------------------------------------------------------------------------------------
 */
void live_stream_events(struct api_request *r, struct api_answer *a)
{
    const struct events_filter filter = {.number = api_param(r, "number"),
                                         .trunk = api_param(r, "trunk"),
                                         .node = api_param(r, "node"),
                                         .line = api_param_u64(r, "line")};
    struct event_stream *stream = NULL;
    enum err e = events_join(r->events, r->who.name, &filter,
                             httpd_header(r->http, "Last-Event-ID"), &stream);

    if (e == E_FULL) {
        a->retry_after_s = 10;
        api_problem(a, 429, "rate-limited", "", "%d streams are open already",
                    EVENTS_STREAMS_OF_ONE);
    } else if (e != E_OK) {
        a->retry_after_s = 5;
        api_problem(a, 503, "unavailable", "", "the server is stopping");
    } else {
        a->content_type = "text/event-stream";
        a->pull = event_stream_pull;
        a->done = event_stream_done;
        a->arg = stream;
    }
}

const struct api_bind api_bind_live[] = {
    {"listCalls", list_calls},
    {"getCall", get_call},
    {"getCallLadder", live_get_ladder},
    {"endCall", live_end_call},
    {"streamCallEvents", live_stream_events},
    {"listSessions", live_list_sessions},
    {"listRegistrations", live_list_registrations},
    {"listProvisioningServers", live_list_servers},
    {"listNodes", live_list_nodes},
    {"listAlarms", live_list_alarms},
    {NULL, NULL},
};
