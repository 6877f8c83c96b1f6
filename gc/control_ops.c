/* What the control socket answers. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "gc/control_int.h"
#include "gc/worker.h"

#define ROWS_MAX 20000
#define PS_MAX   GC_PS_MAX

static void *json_take(size_t n)
{
    return mem_zalloc(n != 0 ? n : 1);
}

void control_ops_init(void)
{
    json_set_alloc_funcs(json_take, mem_free);
}

/* ---- texts -------------------------------------------------------------------------------------
 */
static size_t utf8_bytes(const unsigned char *p, size_t left)
{
    size_t n = p[0] < 0x80                    ? 1
               : p[0] >= 0xC2 && p[0] <= 0xDF ? 2
               : p[0] >= 0xE0 && p[0] <= 0xEF ? 3
               : p[0] >= 0xF0 && p[0] <= 0xF4 ? 4
                                              : 0;

    if (n == 0 || n > left) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) ||
        (p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F) ||
        (p[0] == 0xC2 && p[1] < 0xA0)) { /* the last: C1 control characters */
        return 0;
    }
    return n;
}

/* Octets from the network as a JSON string. */
json_t *control_text(struct view v)
{
    char *clean = mem_zalloc(v.n + 1);
    json_t *made = NULL;
    size_t n = 0;

    for (size_t at = 0; clean != NULL && at < v.n;) {
        const unsigned char *p = (const unsigned char *)v.p + at;
        size_t bytes = utf8_bytes(p, v.n - at);
        bool plain = bytes > 1 || (bytes == 1 && ((p[0] >= 0x20 && p[0] != 0x7F) || p[0] == '\n' ||
                                                  p[0] == '\r' || p[0] == '\t'));
        if (plain) {
            memcpy(clean + n, p, bytes);
            n += bytes;
            at += bytes;
        } else {
            clean[n++] = '?';
            at++;
        }
    }
    if (clean != NULL) {
        made = json_stringn(clean, n);
    }
    mem_free(clean);
    return made;
}

json_t *control_cstr(const char *s)
{
    return control_text(view_of(s));
}

static json_t *hex(const uint8_t *p, size_t n)
{
    char b[2 * 16 + 1];

    hex_put(p, n, b);
    return json_string(b);
}

json_t *control_when(uint64_t us)
{
    char b[40] = "";
    time_t seconds = (time_t)(us / 1000000);
    struct tm tm;

    if (us != 0 && gmtime_r(&seconds, &tm) != NULL) {
        size_t n = strftime(b, sizeof b, "%Y-%m-%dT%H:%M:%S", &tm);
        snprintf(b + n, sizeof b - n, ".%03uZ", (unsigned)(us / 1000 % 1000));
    }
    return json_string(b);
}

json_t *control_address(const struct net_addr *a)
{
    char b[NET_TEXT_MAX] = "";

    if (a->family != 0) {
        net_text(a, b);
    }
    return json_string(b);
}

json_t *control_count(uint64_t n)
{
    return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

static json_t *seconds_until(uint64_t us, uint64_t now_us)
{
    return control_count(us > now_us ? (us - now_us) / 1000000 : 0);
}

struct view control_view(const json_t *text)
{
    return json_is_string(text) ? view_from(json_string_value(text), json_string_length(text))
                                : VIEW("");
}

/* Takes value over; NULL counts as no memory. */
void control_put(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) != 0) {
        LOG(LV_ERROR, "control.field", KV("key", key), KV_ERR(E_NOMEM));
    }
}

void control_add(json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) != 0) {
        LOG(LV_ERROR, "control.row", KV_ERR(E_NOMEM));
    }
}

/* ---- status ------------------------------------------------------------------------------------
 */
static void op_status(struct control_ask *a, json_t *answer)
{
    struct store_health h;
    const struct snapshot *snap = store_snapshot(a->cfg->store);
    size_t lines = snapshot_lines(snap);
    uint64_t now = clock_wall_us(clock_system());

    store_quiescent(a->cfg->store, a->cfg->n_workers);
    store_health(a->cfg->store, &h);
    control_put(answer, "node", control_cstr(a->cfg->node));
    control_put(answer, "version", json_string(HEADGATE_VERSION));
    control_put(answer, "uptime_s",
                control_count(now > a->started_us ? (now - a->started_us) / 1000000 : 0));
    control_put(answer, "workers", control_count(a->cfg->n_workers));
    control_put(answer, "sessions", control_count(h.sessions));
    control_put(answer, "registrations", control_count(location_count(a->cfg->location)));
    control_put(answer, "calls", control_count(workers_calls(a->cfg->workers)));
    control_put(answer, "postgres", json_string(h.postgres_up ? "up" : "down"));
    control_put(answer, "redis", json_string(h.redis_up ? "up" : "down"));
    control_put(answer, "snapshot", json_boolean(h.have_snapshot));
    control_put(answer, "lines", control_count(lines));
    control_put(answer, "change_seq", control_count(h.change_seq));
    control_put(answer, "cdr_queued", control_count(h.cdr_queued));
    control_put(answer, "cdr_spilled", control_count(h.cdr_spilled));
    control_put(answer, "cdr_lost", control_count(h.cdr_lost));
    control_put(answer, "emergency_modes", control_emergency_modes(a->cfg));
}

/* How far this node has followed the database. Asking makes it look. */
static void op_changes(struct control_ask *a, json_t *answer)
{
    struct store_health h;
    uint64_t generation = 0;

    store_look(a->cfg->store);
    store_health(a->cfg->store, &h);
    generation = store_generation(a->cfg->store); /* has what change_seq counts, or more */
    control_put(answer, "change_seq", control_count(h.change_seq));
    control_put(answer, "followed", json_boolean(workers_follow(a->cfg->workers, generation)));
    control_put(answer, "postgres", json_string(h.postgres_up ? "up" : "down"));
}

/* ---- registrations, sessions, provisioning servers ---------------------------------------------
 */
struct bindings {
    struct binding *v;
    size_t n, max;
    bool cut;
};

static void copy_binding(void *arg, const struct binding *b)
{
    struct bindings *all = arg;

    if (all->n == all->max) {
        all->cut = true;
        return;
    }
    all->v[all->n++] = *b;
}

static json_t *binding_row(const struct control_ask *a, const struct snapshot *snap,
                           const struct binding *b, uint64_t now_us)
{
    const struct line *line = snapshot_line(snap, b->line_id);
    json_t *o = json_object();

    control_put(o, "line", control_count(b->line_id));
    control_put(o, "number", control_text(line != NULL ? line->number : VIEW("")));
    control_put(o, "contact", control_cstr(b->contact));
    control_put(o, "transport", json_string(sip_proto_name((enum sip_proto)b->proto)));
    control_put(o, "remote", control_address(&b->remote));
    control_put(o, "expires_s", seconds_until(b->expires_us, now_us));
    control_put(o, "bti", b->is_phone ? json_string("") : hex(b->bti_id, sizeof b->bti_id));
    control_put(o, "phone", control_cstr(b->username));
    control_put(o, "node",
                b->via_node.family == 0 ? control_cstr(a->cfg->node)
                                        : control_address(&b->via_node));
    return o;
}

static void op_registrations(struct control_ask *a, json_t *answer)
{
    size_t known = location_count(a->cfg->location) + 64;
    struct bindings all = {.max = known < ROWS_MAX ? known : ROWS_MAX};
    const struct snapshot *snap = NULL;
    json_t *rows = json_array();

    control_put(answer, "registrations", rows);
    all.v = mem_zalloc_array(all.max, sizeof *all.v);
    if (all.v == NULL) {
        a->error = "out of memory";
        return;
    }
    location_each(a->cfg->location, copy_binding, &all);
    snap = store_snapshot(a->cfg->store);
    for (size_t i = 0; i < all.n; i++) {
        control_add(rows, binding_row(a, snap, &all.v[i], clock_wall_us(clock_system())));
    }
    store_quiescent(a->cfg->store, a->cfg->n_workers);
    if (all.cut) {
        control_put(answer, "truncated", json_true());
    }
    mem_free(all.v);
}

static void op_sessions(struct control_ask *a, json_t *answer)
{
    struct store_session *all = mem_zalloc_array(ROWS_MAX, sizeof *all);
    uint64_t now = clock_wall_us(clock_system());
    json_t *rows = json_array();
    size_t n = 0;

    control_put(answer, "sessions", rows);
    if (all == NULL) {
        a->error = "out of memory";
        return;
    }
    n = store_sessions(a->cfg->store, all, ROWS_MAX);
    for (size_t i = 0; i < n; i++) {
        json_t *o = json_object();
        control_put(o, "kid", hex(all[i].kid, sizeof all[i].kid));
        control_put(o, "line", control_count(all[i].line_id));
        control_put(o, "bti", hex(all[i].bti_id, sizeof all[i].bti_id));
        control_put(o, "expires_s", seconds_until(all[i].expires_us, now));
        control_add(rows, o);
    }
    if (n == ROWS_MAX) {
        control_put(answer, "truncated", json_true());
    }
    mem_free(all);
}

static void op_ps(struct control_ask *a, json_t *answer)
{
    struct ps_state all[PS_MAX];
    uint64_t now = clock_wall_us(clock_system());
    size_t n = workers_ps(a->cfg->workers, all, PS_MAX);
    json_t *rows = json_array();

    control_put(answer, "servers", rows);
    for (size_t i = 0; i < n; i++) {
        json_t *o = json_object();
        uint64_t at = all[i].last_answer_us;
        control_put(o, "server", control_cstr(all[i].uri));
        control_put(o, "healthy", json_boolean(all[i].healthy));
        control_put(o, "last_answer_s",
                    at == 0 ? json_null() : json_real((double)(now > at ? now - at : 0) / 1e6));
        control_put(o, "missed", control_count(all[i].missed));
        control_add(rows, o);
    }
}

/* ---- secrets for the database ------------------------------------------------------------------
 */
static struct view text_of(struct control_ask *a, const char *key)
{
    const json_t *v = json_object_get(a->request, key);

    if (!json_is_string(v) || json_string_length(v) == 0) {
        a->error = "a text is missing";
        return VIEW("");
    }
    return view_from(json_string_value(v), json_string_length(v));
}

static void put_sealed(struct control_ask *a, json_t *answer, enum err e, const uint8_t *sealed,
                       size_t n)
{
    char text_hex[2 * SEALED_MAX + 1];

    if (e != E_OK) {
        a->error = e == E_RANGE ? "a text is too long: 64 octets" : "it could not be sealed";
        return;
    }
    hex_put(sealed, n, text_hex);
    control_put(answer, "sealed", json_string(text_hex));
}

static void op_seal_credential(struct control_ask *a, json_t *answer)
{
    struct view username = text_of(a, "username"), algorithm = text_of(a, "algorithm"),
                password = text_of(a, "password");
    bool is_md5 = view_eq(algorithm, VIEW("MD5"));
    uint8_t sealed[SEALED_MAX];
    size_t n = 0;
    enum err e = E_OK;

    if (a->error == NULL && !is_md5 && !view_eq(algorithm, VIEW("SHA-256"))) {
        a->error = "algorithm: SHA-256 or MD5";
    }
    if (a->error == NULL) {
        e = workers_seal_credential(a->cfg->workers, username, is_md5 ? DIGEST_MD5 : DIGEST_SHA256,
                                    password, sealed, &n);
        put_sealed(a, answer, e, sealed, n);
        control_put(answer, "realm", control_cstr(workers_realm(a->cfg->workers)));
    }
}

static void op_seal_trunk(struct control_ask *a, json_t *answer)
{
    struct view trunk = text_of(a, "trunk"), user = text_of(a, "user"),
                password = text_of(a, "password");
    uint8_t sealed[SEALED_MAX];
    size_t n = 0;
    enum err e = E_OK;

    if (a->error == NULL) {
        e = workers_seal_trunk(a->cfg->workers, trunk, user, password, sealed, &n);
        put_sealed(a, answer, e, sealed, n);
    }
}

/* jansson frees its texts as they are. */
static void forget_password(json_t *request)
{
    const json_t *v = json_object_get(request, "password");

    if (json_is_string(v)) {
        wipe((void *)(uintptr_t)json_string_value(v), json_string_length(v));
    }
}

/* ---- one request -------------------------------------------------------------------------------
 */
static const struct {
    const char *name;
    void (*fn)(struct control_ask *a, json_t *answer);
} OPS[] = {
    {"status", op_status},           {"changes", op_changes},
    {"calls", control_op_calls},     {"recent", control_op_recent},
    {"call", control_op_call},       {"registrations", op_registrations},
    {"sessions", op_sessions},       {"ps", op_ps},
    {"end", control_op_end},         {"events", control_op_events},
    {"alarms", control_op_alarms},   {"seal_credential", op_seal_credential},
    {"seal_trunk", op_seal_trunk},   {"route", control_op_route},
    {"trunks", control_op_trunks},   {"peers", control_op_peers},
    {"preempt", control_op_preempt}, {"emergency", control_op_emergency},
};

static void run_op(struct control_ask *a, json_t *answer)
{
    const char *name = json_string_value(json_object_get(a->request, "op"));

    for (size_t i = 0; name != NULL && i < sizeof OPS / sizeof OPS[0]; i++) {
        if (strcmp(OPS[i].name, name) == 0) {
            OPS[i].fn(a, answer);
            return;
        }
    }
    a->error = "no such op";
}

char *control_answer(const struct control_cfg *cfg, uint64_t started_us, struct view request,
                     size_t *out_n)
{
    struct control_ask a = {.cfg = cfg, .started_us = started_us};
    json_t *parsed = json_loadb(request.p, request.n, JSON_REJECT_DUPLICATES, NULL);
    json_t *answer = json_object();
    char *line = NULL;

    a.request = parsed;
    control_put(answer, "ok", json_true());
    if (json_is_object(parsed)) {
        run_op(&a, answer);
    } else {
        a.error = "one JSON object expected, through the control socket of at most 4 KiB";
    }
    if (a.error != NULL) {
        json_decref(answer);
        answer = json_pack("{s:b,s:s}", "ok", 0, "error", a.error);
    }
    if (answer != NULL) {
        line = json_dumps(answer, JSON_COMPACT);
    }
    if (line != NULL) { /* its NUL gives way to the newline */
        *out_n = strlen(line) + 1;
        line[*out_n - 1] = '\n';
    }
    json_decref(answer);
    forget_password(parsed);
    json_decref(parsed);
    return line;
}
