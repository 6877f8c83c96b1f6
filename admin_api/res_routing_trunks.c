/* Trunks: gateways, PSAPs, peers. A password comes in and never goes out: a running gate controller
 * seals it under the cluster key, which is not here. */
#include <stdio.h>
#include <string.h>

#include "admin_api/gates.h"
#include "admin_api/res_routing.h"
#include "base/mem.h"
#include "base/secret.h"

#define TRUNK                                                                                      \
    "json_build_object('trunk_id', t.trunk_id, 'name', t.name, 'host', t.host, 'port', t.port, "   \
    "'transport', coalesce(nullif(t.transport, ''), 'any'), 'auth', t.auth, 'tls_name', "          \
    "nullif(t.tls_name, ''), 'sources', to_json(t.sources::text[]), 'trusts_identity', "           \
    "t.trusts_identity, 'sends_identity', t.sends_identity, 'may_transit', t.may_transit, "        \
    "'is_operator', t.is_operator, 'disabled', t.disabled, 'number_form', t.number_form, "         \
    "'strip', t.strip, 'add_digits', t.add_digits, 'default_number', nullif(t.default_number, "    \
    "''), 'max_channels', t.max_channels, 'max_cps', t.max_cps, 'ping_s', t.ping_s, 'priority', "  \
    "to_json(coalesce(string_to_array(nullif(t.priority, ''), ' '), '{}')), 'stir_sign', "         \
    "t.stir_sign, 'stir_verify', t.stir_verify, 'auth_user', nullif(t.auth_user, ''), "            \
    "'routes', (SELECT "                                                                           \
    "coalesce(json_agg(r.name ORDER BY r.name), '[]') FROM core.route r WHERE r.trunk_id = "       \
    "t.trunk_id))"
#define TRUNK_BY_ID "SELECT " TRUNK " FROM core.trunk t WHERE t.trunk_id = $1::bigint"

enum { SOURCES_TEXT = 1024, SEALED_HEX = 520, SEAL_MS = 3000 };

static const char *const TRANSPORTS[] = {"any", "udp", "tcp", "tls", NULL};
static const char *const AUTHS[] = {"address", "certificate", NULL};
static const char *const FORMS[] = {"e164", "bare", "national", NULL};
static const char *const VERIFY[] = {"off", "mark", "reject", NULL};

struct row {
    struct trunk t; /* texts are the body's */
    bool is_operator;
    char sources[SOURCES_TEXT], priority[RES_LIST_TEXT]; /* separated by spaces */
    bool is_kept;                                        /* the password stays as it is */
    char sealed[SEALED_HEX];                             /* else this; empty: none */
};

/* ---- reading -----------------------------------------------------------------------------------
 */
void routing_list_trunks(struct api_request *r, struct api_answer *a)
{
    const struct pg_param p[] = {res_param(r, "name"), res_param(r, "disabled")};

    api_list(r, a,
             "SELECT " TRUNK ", t.trunk_id FROM core.trunk t WHERE ($1::bigint IS NULL OR "
             "t.trunk_id > $1::bigint) AND ($3::text IS NULL OR t.name = $3::text) AND "
             "($4::boolean IS NULL OR t.disabled = $4::boolean) ORDER BY t.trunk_id LIMIT "
             "$2::bigint",
             p, 2);
}

void routing_get_trunk(struct api_request *r, struct api_answer *a)
{
    const struct pg_param id = res_param(r, "trunk_id");

    api_get(r, a, r->for_update ? TRUNK_BY_ID " FOR UPDATE OF t" : TRUNK_BY_ID, &id, 1);
}

/* ---- checks ------------------------------------------------------------------------------------
 */
static unsigned index_of(const json_t *body, const char *name, const char *const *words)
{
    struct view v = api_text(body, name);
    unsigned i = 0;

    while (words[i] != NULL && !view_eq(v, view_of(words[i]))) {
        i++;
    }
    return words[i] != NULL ? i : 0;
}

/* Whether only the first `bits` of an address are used, as the database wants networks. */
static bool is_network(const uint8_t ip[16], unsigned bits)
{
    for (unsigned i = bits; i < 128; i++) {
        if ((ip[i / 8] >> (7 - i % 8) & 1) != 0) {
            return false;
        }
    }
    return true;
}

static bool check_sources(const json_t *list, struct api_answer *a)
{
    uint8_t family = 0, ip[16] = {0};
    char pointer[40];
    size_t i = 0;
    json_t *one = NULL;

    json_array_foreach(list, i, one)
    {
        struct view v = view_from(json_string_value(one), json_string_length(one));
        unsigned bits = 0;
        memset(ip, 0, sizeof ip);
        if (plan_source(&v, &family, ip, &bits) != E_OK || v.n > 0 || !is_network(ip, bits)) {
            snprintf(pointer, sizeof pointer, "/sources/%zu", i);
            api_problem(a, 422, "invalid", pointer,
                        "not a network as in 192.0.2.0/24 or 2001:db8::/32, nor an address");
        }
    }
    return !api_failed(a);
}

static bool read_trunk(const json_t *b, struct row *row, struct api_answer *a)
{
    if (!check_sources(json_object_get(b, "sources"), a) ||
        !res_check_priority(json_object_get(b, "priority"), a)) {
        return false;
    }
    if (!res_words(json_object_get(b, "sources"), row->sources, sizeof row->sources) ||
        !res_words(json_object_get(b, "priority"), row->priority, sizeof row->priority)) {
        api_problem(a, 422, "invalid", "/sources", "too long");
        return false;
    }
    row->is_operator = api_bool(b, "is_operator", false);
    row->t = (struct trunk){.trunk_id = 1, /* any: the database has it */
                            .name = api_text(b, "name"),
                            .host = api_text(b, "host"),
                            .port = (uint16_t)api_int(b, "port", 0),
                            .proto = (uint8_t)index_of(b, "transport", TRANSPORTS),
                            .auth = (enum trunk_auth)index_of(b, "auth", AUTHS),
                            .tls_name = api_text(b, "tls_name"),
                            .sources = view_of(row->sources),
                            .trusts_identity = api_bool(b, "trusts_identity", false),
                            .sends_identity = api_bool(b, "sends_identity", false),
                            .may_transit = api_bool(b, "may_transit", false),
                            .disabled = api_bool(b, "disabled", false),
                            .form = (enum number_form)index_of(b, "number_form", FORMS),
                            .strip = (uint32_t)api_int(b, "strip", 0),
                            .add = api_text(b, "add_digits"),
                            .default_number = api_text(b, "default_number"),
                            .max_channels = (uint32_t)api_int(b, "max_channels", 0),
                            .max_cps = (uint32_t)api_int(b, "max_cps", 0),
                            .ping_s = (uint32_t)api_int(b, "ping_s", 10),
                            .auth_user = api_text(b, "auth_user"),
                            .stir_sign = api_bool(b, "stir_sign", false),
                            .stir_verify = (uint8_t)index_of(b, "stir_verify", VERIFY)};
    return !routing_fault(a, trunk_fault(&row->t));
}

/* ---- the password ------------------------------------------------------------------------------
 */
/* It is sealed for the trunk's name and user: with another of either, nobody could open it. */
static bool check_password(const struct api_request *r, struct row *row, struct api_answer *a)
{
    const json_t *given = json_object_get(r->body, "password");
    bool has_user = row->t.auth_user.n > 0, is_given = json_is_string(given);

    row->is_kept = has_user && given == NULL &&
                   view_eq(api_text(r->current, "name"), row->t.name) &&
                   view_eq(api_text(r->current, "auth_user"), row->t.auth_user);
    if (is_given && !has_user) {
        api_problem(a, 422, "invalid", "/auth_user", "missing: a password goes with it");
    } else if (has_user && !is_given && !row->is_kept) {
        api_problem(a, 422, "invalid", "/password",
                    "missing: it goes with auth_user, and is sealed for it and the trunk's name");
    }
    return !api_failed(a);
}

/* jansson frees its texts as they are. */
static void forget(json_t *password)
{
    if (json_is_string(password)) {
        wipe((void *)(uintptr_t)json_string_value(password), json_string_length(password));
    }
}

static bool seal(struct api_request *r, struct row *row, struct api_answer *a)
{
    json_t *password = json_object_get(r->body, "password");
    struct gate_answer got = {.answer = NULL};
    json_t *ask = NULL;
    const char *sealed = NULL;
    enum err e = E_OK;

    if (!json_is_string(password)) {
        return true;
    }
    ask = json_pack("{s:s,s:O,s:O,s:O}", "op", "seal_trunk", "trunk",
                    json_object_get(r->merged != NULL ? r->merged : r->body, "name"), "user",
                    json_object_get(r->merged != NULL ? r->merged : r->body, "auth_user"),
                    "password", password);
    e = ask != NULL ? gates_ask(r->gates, NULL, ask, SEAL_MS, &got) : E_NOMEM;
    json_decref(ask);
    forget(password);
    sealed = json_string_value(json_object_get(got.answer, "sealed"));
    if (e == E_OK && sealed != NULL && strlen(sealed) < sizeof row->sealed) {
        memcpy(row->sealed, sealed, strlen(sealed) + 1);
    } else if (e == E_STATE) {
        api_problem(a, 422, "invalid", "/password", "not 1 to %d octets", SECRET_MAX);
    } else {
        api_problem(a, 503, "no-gate", "/password",
                    "no gate controller answers, and only a running one can seal a password");
        a->retry_after_s = 5;
    }
    gate_answers_free(&got, 1);
    return !api_failed(a);
}

/* ---- writing -----------------------------------------------------------------------------------
 */
/* Parameters of both statements; $1 is the key (of an update), $2 the password, NULL: as it is. */
static bool write_trunk(struct api_request *r, struct api_answer *a, const struct row *row,
                        const char *sql, char key[RES_INT_TEXT])
{
    static const char *const pointers[] = {"trunk_name_key", "/name", "trunk_priority_check",
                                           "/priority", NULL};
    const struct trunk *t = &row->t;
    const uint64_t numbers[] = {t->port, t->strip, t->max_channels, t->max_cps, t->ping_s};
    const bool flags[] = {t->trusts_identity, t->sends_identity, t->may_transit,
                          t->disabled,        t->stir_sign,      row->is_operator};
    const char *transport = t->proto == 0 ? "" : TRANSPORTS[t->proto];
    const struct view texts[] = {t->name,
                                 t->host,
                                 view_of(transport),
                                 view_of(AUTHS[t->auth]),
                                 t->tls_name,
                                 view_of(row->sources),
                                 view_of(FORMS[t->form]),
                                 t->add,
                                 t->default_number,
                                 t->auth_user,
                                 view_of(VERIFY[t->stir_verify]),
                                 view_of(row->priority)};
    enum { TEXTS = sizeof texts / sizeof *texts, NUMBERS = 5, FLAGS = 6 };
    char n[NUMBERS][RES_INT_TEXT];
    struct pg_param p[2 + TEXTS + NUMBERS + FLAGS];
    size_t k = 0;

    p[k++] = res_param(r, "trunk_id");
    p[k++] = row->is_kept ? PG_NULL : PG_TEXT(view_of(row->sealed));
    for (size_t i = 0; i < TEXTS; i++) {
        p[k++] = PG_TEXT(texts[i].p != NULL ? texts[i] : VIEW(""));
    }
    for (size_t i = 0; i < NUMBERS; i++) {
        snprintf(n[i], sizeof n[i], "%llu", (unsigned long long)numbers[i]);
        p[k++] = PG_TEXT(view_of(n[i]));
    }
    for (size_t i = 0; i < FLAGS; i++) {
        p[k++] = PG_TEXT(flags[i] ? VIEW("true") : VIEW("false"));
    }
    return res_ask(r, a, sql, p, k, pointers, key, RES_INT_TEXT) && routing_written(a, key);
}

#define COLUMNS                                                                                    \
    "name, host, transport, auth, tls_name, sources, number_form, add_digits, default_number, "    \
    "auth_user, stir_verify, priority, port, strip, max_channels, max_cps, ping_s, "               \
    "trusts_identity, sends_identity, may_transit, disabled, stir_sign, is_operator"
#define VALUES                                                                                     \
    "$3::text, $4::text, $5::text, $6::text, $7::text, "                                           \
    "coalesce(string_to_array(nullif($8::text, ''), ' ')::cidr[], '{}'), $9::text, $10::text, "    \
    "$11::text, $12::text, $13::text, $14::text, $15::integer, $16::smallint, $17::integer, "      \
    "$18::integer, $19::integer, $20::boolean, $21::boolean, $22::boolean, $23::boolean, "         \
    "$24::boolean, $25::boolean"
#define SQL_INSERT                                                                                 \
    "INSERT INTO core.trunk (" COLUMNS ", auth_sealed) SELECT " VALUES                             \
    ", decode($2::text, 'hex') WHERE $1::bigint IS NULL RETURNING trunk_id"
/* Role hg_api writes sealed passwords and cannot read them, not even to write them again. */
#define SQL_UPDATE                                                                                 \
    "UPDATE core.trunk SET (" COLUMNS ") = ROW(" VALUES                                            \
    ") WHERE trunk_id = $1::bigint AND $2::text IS NULL RETURNING trunk_id"
#define SQL_UPDATE_ALL                                                                             \
    "UPDATE core.trunk SET (" COLUMNS ", auth_sealed) = ROW(" VALUES                               \
    ", decode($2::text, 'hex')) WHERE trunk_id = $1::bigint RETURNING trunk_id"

static const char *const trunk_entitles[] = {"priority", "is_operator", NULL};

void routing_create_trunk(struct api_request *r, struct api_answer *a)
{
    struct row row = {.sealed = ""};
    char key[RES_INT_TEXT];

    if (res_may_entitle(r, a, trunk_entitles) && read_trunk(r->body, &row, a) &&
        check_password(r, &row, a) && seal(r, &row, a) &&
        write_trunk(r, a, &row, SQL_INSERT, key)) {
        api_get(r, a, TRUNK_BY_ID, &PG_TEXT(view_of(key)), 1);
        res_created(a, "trunks", key);
    }
}

void routing_update_trunk(struct api_request *r, struct api_answer *a)
{
    struct row row = {.sealed = ""};
    const struct pg_param id = res_param(r, "trunk_id");
    char key[RES_INT_TEXT];

    if (res_may_entitle(r, a, trunk_entitles) && read_trunk(r->merged, &row, a) &&
        check_password(r, &row, a) &&
        (!row.t.disabled || api_bool(r->current, "disabled", false) ||
         routing_keeps_emergency(r, a, PG_NULL, id)) &&
        seal(r, &row, a) &&
        write_trunk(r, a, &row, row.is_kept ? SQL_UPDATE : SQL_UPDATE_ALL, key)) {
        api_get(r, a, TRUNK_BY_ID, &id, 1);
    }
}

/* The row is locked by now, so that no route to it can come meanwhile. */
void routing_delete_trunk(struct api_request *r, struct api_answer *a)
{
    const struct pg_param id = res_param(r, "trunk_id");
    char key[RES_INT_TEXT], routes[RES_LIST_TEXT];

    if (!res_ask(r, a,
                 "SELECT string_agg(x.name, ', ' ORDER BY x.name) || CASE WHEN count(*) = 10 THEN "
                 "' ...' ELSE '' END FROM (SELECT left(name, 64) AS name FROM core.route WHERE "
                 "trunk_id = $1::bigint ORDER BY name LIMIT 10) x",
                 &id, 1, NULL, routes, sizeof routes)) {
        return;
    }
    if (routes[0] != 0) {
        api_problem(a, 409, "in-use", "", "routes lead over the trunk: %s", routes);
    } else if (res_ask(r, a,
                       "DELETE FROM core.trunk WHERE trunk_id = $1::bigint RETURNING trunk_id", &id,
                       1, NULL, key, sizeof key) &&
               routing_written(a, key)) {
        a->status = 204;
    }
}
