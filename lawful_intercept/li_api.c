/* The officers' API: a table of paths, and what each does. */
#include "lawful_intercept/li_api.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "lawful_intercept/book_int.h"

struct exchange {
    const struct li_api *api;
    const struct httpd_request *r;
    const char *who;
    uint64_t id; /* in the path; 0: none */
    json_t *body;
    unsigned status;
    json_t *answer;
    struct view document; /* instead of answer; empty: none */
};

static void *take(size_t n)
{
    return mem_zalloc(n != 0 ? n : 1);
}

void li_json_init(void)
{
    json_set_alloc_funcs(take, mem_free);
}

/* ---- answers -----------------------------------------------------------------------------------
 */
/* RFC 9457. Takes errors over; NULL: none. */
static void problem(struct exchange *x, unsigned status, const char *title, json_t *errors)
{
    json_decref(x->answer);
    x->status = status;
    x->answer = json_pack("{s:s,s:i}", "title", title, "status", (int)status);
    if (errors != NULL && json_array_size(errors) > 0 && x->answer != NULL) {
        IGNORE(json_object_set(x->answer, "errors", errors) == 0 ? E_OK : E_NOMEM,
               "the title says it too");
    }
    json_decref(errors);
}

/* Takes errors over; NULL: none. */
static void problem_with(struct exchange *x, enum err e, json_t *errors)
{
    static const struct {
        enum err e;
        unsigned status;
        const char *title;
    } all[] = {{E_NOTFOUND, 404, "there is no such thing"},
               {E_PARSE, 422, "the form cannot be taken"},
               {E_STATE, 409, "it is not in the state for that"},
               {E_EXISTS, 409, "somebody else was quicker: look again"},
               {E_DENIED, 403, "nobody approves what he entered himself"},
               {E_RANGE, 409, "it was changed too often: retire it, and enter a new one"},
               {E_TIMEOUT, 503, "the database went away within it: look whether it was done"},
               {E_IO, 503, "the database is away: nothing was changed"}};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i].e == e) {
            problem(x, all[i].status, all[i].title, errors);
            return;
        }
    }
    problem(x, 500, "out of memory", errors);
}

static void problem_of(struct exchange *x, enum err e)
{
    problem_with(x, e, NULL);
}

static void answer(struct exchange *x, unsigned status, json_t *v, enum err e)
{
    if (v == NULL) {
        problem_of(x, e);
        return;
    }
    x->status = status;
    x->answer = v;
}

/* Takes both over. */
static void answer_act(struct exchange *x, unsigned status, json_t *v, enum err e, json_t *errors)
{
    if (v == NULL) {
        problem_with(x, e, errors);
        return;
    }
    json_decref(errors);
    answer(x, status, v, e);
}

static void send_answer(const struct exchange *x)
{
    static const char *const retry[] = {"Retry-After", "5", NULL};
    char *text = x->answer != NULL ? json_dumps(x->answer, JSON_COMPACT | JSON_SORT_KEYS) : NULL;

    if (x->document.n > 0) {
        httpd_answer(x->r, 200, "application/json", NULL, x->document);
        return;
    }
    httpd_answer(x->r, text != NULL ? x->status : 500,
                 x->status < 400 ? "application/json" : "application/problem+json",
                 x->status == 503 ? retry : NULL, view_of(text != NULL ? text : "{}"));
    mem_free(text);
}

/* ---- operations --------------------------------------------------------------------------------
 */
static void list_agencies(struct exchange *x)
{
    enum err e = E_OK;
    json_t *v = li_show(x->api->li, LI_ITEM_AGENCY, 0, &e);

    answer(x, 200, v, e);
}

static void list_orders(struct exchange *x)
{
    enum err e = E_OK;
    json_t *v = li_show(x->api->li, LI_ITEM_ORDER, 0, &e);

    answer(x, 200, v, e);
}

static void show_agency(struct exchange *x)
{
    enum err e = E_OK;
    json_t *v = li_show(x->api->li, LI_ITEM_AGENCY, x->id, &e);

    answer(x, 200, v, e);
}

static void show_order(struct exchange *x)
{
    enum err e = E_OK;
    json_t *v = li_show(x->api->li, LI_ITEM_ORDER, x->id, &e);

    answer(x, 200, v, e);
}

static void enter(struct exchange *x, enum li_kind kind)
{
    json_t *errors = json_array(), *v = NULL;
    enum err e = E_NOMEM;

    v = errors != NULL ? li_enter(x->api->li, kind, x->body, x->who, errors, &e) : NULL;
    answer_act(x, 201, v, e, errors);
}

static void enter_agency(struct exchange *x)
{
    enter(x, LI_ITEM_AGENCY);
}

static void enter_order(struct exchange *x)
{
    enter(x, LI_ITEM_ORDER);
}

static void change(struct exchange *x, enum li_agency_act what)
{
    json_t *errors = json_array(), *v = NULL;
    enum err e = E_NOMEM;

    v = errors != NULL ? li_change(x->api->li, x->id, what, x->body, x->who, errors, &e) : NULL;
    answer_act(x, 200, v, e, errors);
}

static void change_agency(struct exchange *x)
{
    change(x, LI_AGENCY_CHANGE);
}

static void retire_agency(struct exchange *x)
{
    change(x, LI_AGENCY_RETIRE);
}

static void approve_agency(struct exchange *x)
{
    change(x, LI_AGENCY_APPROVE);
}

static void refuse_agency(struct exchange *x)
{
    change(x, LI_AGENCY_REFUSE);
}

static void act(struct exchange *x, enum li_act what)
{
    static const char *const known[] = {"reason", NULL};
    const struct li_text_field field = {"reason", what == LI_APPROVE ? 0 : 1, 400, false,
                                        "the reason"};
    json_t *errors = json_array(), *v = NULL;
    enum err e = E_NOMEM;

    li_form_known(x->body, known, "", errors);
    li_form_text(x->body, &field, errors);
    if (errors != NULL && json_array_size(errors) > 0) {
        problem_with(x, E_PARSE, errors);
        return;
    }
    v = errors != NULL
            ? li_act(x->api->li, x->id, what, x->who, li_text(x->body, "reason"), errors, &e)
            : NULL;
    answer_act(x, 200, v, e, errors);
}

static void approve(struct exchange *x)
{
    act(x, LI_APPROVE);
}

static void refuse(struct exchange *x)
{
    act(x, LI_REFUSE);
}

static void end_order(struct exchange *x)
{
    act(x, LI_END);
}

static void show_state(struct exchange *x)
{
    answer(x, 200, li_state(x->api->li), E_NOMEM);
}

static void show_document(struct exchange *x)
{
    x->status = 200;
    x->document = li_api_document();
}

static void list_events(struct exchange *x)
{
    json_t *v = NULL;
    bool sound = true;
    uint64_t after = 0;
    enum err e = E_OK;

    if (view_starts(x->r->query, VIEW("after="))) {
        e = view_to_u64(view_sub(x->r->query, 6, x->r->query.n), INT64_MAX, &after);
    }
    if (e != E_OK || (x->r->query.n > 0 && !view_starts(x->r->query, VIEW("after=")))) {
        problem(x, 400, "after: a number of an event", NULL);
        return;
    }
    e = li_store_events(x->api->store, after, 500, &v, &sound);
    if (e == E_OK) {
        answer(x, 200, json_pack("{s:b,s:o}", "sound", (int)sound, "events", v), E_NOMEM);
    } else {
        problem_of(x, e);
    }
}

/* The signature is over the record's canonical text: sorted keys, no spaces. */
static json_t *certify(struct exchange *x, json_t *order)
{
    enum err e = E_OK;
    json_t *agency = li_show(x->api->li, LI_ITEM_AGENCY, li_number(order, "agency"), &e);
    json_t *record = NULL, *made = NULL;
    uint8_t signature[EC_SIGNATURE_BYTES], spki[32];
    char hex[2 * EC_SIGNATURE_BYTES + 1], pem[512], at[24];
    char *text = NULL;

    li_time_write(clock_wall_us(clock_system()), at);
    record = json_pack("{s:o,s:s,s:s,s:s}", "order", order, "agency", li_text(agency, "name"),
                       "certified_by", x->who, "certified_at", at);
    text = record != NULL ? json_dumps(record, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    if (text != NULL && ec_sign(x->api->record_key, view_of(text), signature) == E_OK &&
        ec_key_public(x->api->record_key, pem, sizeof pem, spki) == E_OK) {
        hex_put(signature, sizeof signature, hex);
        made = json_pack("{s:O,s:s,s:s}", "record", record, "signature", hex, "public_key", pem);
    }
    mem_free(text);
    json_decref(agency);
    json_decref(record);
    return made;
}

static void show_record(struct exchange *x)
{
    char object[40];
    enum err e = E_OK;
    json_t *order = li_show(x->api->li, LI_ITEM_ORDER, x->id, &e);

    if (order != NULL && x->api->record_key == NULL) {
        json_decref(order);
        problem(x, 404, "keys.record is not configured", NULL);
        return;
    }
    if (order == NULL) {
        problem_of(x, e);
        return;
    }
    snprintf(object, sizeof object, "order:%llu", (unsigned long long)x->id);
    e = li_store_note(x->api->store, x->who, "record certified", object);
    if (e != E_OK) {
        json_decref(order);
        problem_of(x, e);
        return;
    }
    answer(x, 200, certify(x, order), E_NOMEM);
}

/* ---- paths -------------------------------------------------------------------------------------
 */
struct operation {
    const char *method, *noun, *verb; /* verb "": none */
    bool has_id, has_body;
    void (*fn)(struct exchange *x);
};

static const struct operation operations[] = {
    {"GET", "agencies", "", false, false, list_agencies},
    {"POST", "agencies", "", false, true, enter_agency},
    {"GET", "agencies", "", true, false, show_agency},
    {"POST", "agencies", "change", true, true, change_agency},
    {"POST", "agencies", "retire", true, true, retire_agency},
    {"POST", "agencies", "approve", true, true, approve_agency},
    {"POST", "agencies", "refuse", true, true, refuse_agency},
    {"GET", "orders", "", false, false, list_orders},
    {"POST", "orders", "", false, true, enter_order},
    {"GET", "orders", "", true, false, show_order},
    {"POST", "orders", "approve", true, true, approve},
    {"POST", "orders", "refuse", true, true, refuse},
    {"POST", "orders", "end", true, true, end_order},
    {"GET", "orders", "record", true, false, show_record},
    {"GET", "state", "", false, false, show_state},
    {"GET", "events", "", false, false, list_events},
    {"GET", "openapi.json", "", false, false, show_document},
};

struct path {
    struct view noun, id, verb;
};

static bool split(struct view path, struct path *out)
{
    struct view *parts[] = {&out->noun, &out->id, &out->verb};
    struct view rest = path;

    *out = (struct path){{0}, {0}, {0}};
    if (!view_starts(rest, VIEW("/li/v1/"))) {
        return false;
    }
    rest = view_sub(rest, 7, rest.n);
    for (size_t i = 0; i < 3; i++) {
        size_t slash = 0;
        bool more = view_find(rest, '/', &slash);
        *parts[i] = more ? view_sub(rest, 0, slash) : rest;
        if (parts[i]->n == 0) {
            return false;
        }
        if (!more) {
            return true;
        }
        rest = view_sub(rest, slash + 1, rest.n);
    }
    return false;
}

/* A page of another site can make an officer's browser send a form or a text with his certificate,
 * but not this, since nothing here answers its question whether it may. */
static bool is_json(const struct httpd_request *r)
{
    struct view type = httpd_header(r, "Content-Type");
    size_t semicolon = 0;

    return view_eq_nocase(
        view_trim(view_find(type, ';', &semicolon) ? view_sub(type, 0, semicolon) : type),
        VIEW("application/json"));
}

/* 0: it was called; else what is wrong. */
static unsigned dispatch(struct exchange *x)
{
    struct path p;
    bool is_there = false;

    if (!split(x->r->path, &p) ||
        (p.id.n > 0 && (view_to_u64(p.id, INT64_MAX, &x->id) != E_OK || x->id == 0))) {
        return 404;
    }
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        const struct operation *o = &operations[i];
        if (!view_eq(p.noun, view_of(o->noun)) || (p.id.n > 0) != o->has_id ||
            !view_eq(p.verb, view_of(o->verb))) {
            continue;
        }
        is_there = true;
        if (!view_eq(x->r->method, view_of(o->method))) {
            continue;
        }
        if (o->has_body && !is_json(x->r)) {
            return 415;
        }
        if (o->has_body) {
            x->body = json_loadb(x->r->body.p != NULL ? x->r->body.p : "", x->r->body.n,
                                 JSON_REJECT_DUPLICATES, NULL);
            if (!json_is_object(x->body)) {
                return 400;
            }
        }
        o->fn(x);
        return 0;
    }
    return is_there ? 405 : 404;
}

/* ---- who ---------------------------------------------------------------------------------------
 */
static const char *officer_of(const struct li_plan *plan, const struct httpd_peer *peer)
{
    for (size_t i = 0; i < plan->n_officers; i++) {
        const struct li_officer *o = &plan->officer[i];
        if (peer->kind == PEER_UNIX && o->has_uid && o->uid == peer->uid) {
            return o->name;
        }
        if (peer->kind == PEER_CERTIFICATE && o->certificate[0] != 0 &&
            strcmp(o->certificate, peer->name) == 0) {
            return o->name;
        }
    }
    return NULL;
}

void li_api_handle(void *api, const struct httpd_request *r)
{
    const struct li_api *a = api;
    struct exchange x = {.api = a, .r = r, .who = officer_of(a->plan, r->peer)};
    unsigned wrong = x.who != NULL ? dispatch(&x) : 401;

    if (x.who == NULL) {
        LOG(LV_ERROR, "officer.unknown", KV("request", r->request_id),
            KV("peer", (const char *)r->peer->name), KV("uid", (unsigned long)r->peer->uid));
    }
    if (wrong != 0) {
        problem(&x, wrong,
                wrong == 401   ? "no officer that we know"
                : wrong == 400 ? "the body is no JSON object"
                : wrong == 415 ? "the body must be application/json"
                : wrong == 405 ? "not by that method"
                               : "there is nothing at this path",
                NULL);
    }
    send_answer(&x);
    LOG(LV_INFO, "officer.request", KV("request", r->request_id), KV("method", r->method),
        KV("path", r->path), KV("who", x.who != NULL ? x.who : ""), KV("status", x.status));
    json_decref(x.body);
    json_decref(x.answer);
}
