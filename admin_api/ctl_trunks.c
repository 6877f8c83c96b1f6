/* Trunks: gateways, PSAPs, peers. One row is read, changed, checked and written as a whole, so that
 * `add` and `set` know the same options and refuse the same mistakes. */
#include <stdio.h>
#include <string.h>

#include "admin_api/ctl_opts.h"
#include "base/mem.h"
#include "base/secret.h"
#include "routing/plan_check.h"

#define USAGE_ADD  "trunk add NAME HOST [OPTION ...]"
#define USAGE_SET  "trunk set NAME [--host HOST] [OPTION ...]"
#define COLUMNS    22 /* without id */
#define SOURCES    1024
#define NUMBER_MAX 0x7fffffffu

#define YES(column) "CASE WHEN " column " THEN 'yes' ELSE 'no' END"

static const char *const TRANSPORTS[] = {"any", "udp", "tcp", "tls", NULL};
static const char *const AUTHS[] = {"address", "certificate", NULL};
static const char *const VERIFY[] = {"off", "mark", "reject", NULL};
static const char *const FORMS[] = {"e164", "bare", "national", NULL};

struct row {
    struct trunk t;
    char sources[SOURCES];     /* of --source, commas as spaces */
    const char *password_file; /* NULL: as it was */
    bool user_changed;
    struct pg_result *was; /* what t points into */
};

/* ---- options ---- */

static void take_sources(struct opts *o, struct row *r)
{
    struct view v = r->t.sources;
    unsigned before = o->taken;

    opt_text(o, "--source", &v);
    if (o->rc != CTL_OK || o->taken == before) {
        return;
    }
    if (view_eq(v, VIEW("none"))) {
        v = VIEW("");
    }
    if (view_to_cstr(v, r->sources, sizeof r->sources) != E_OK) {
        o->rc = ctl_fail(CTL_USAGE, "--source: too long");
        return;
    }
    for (char *p = r->sources; *p != 0; p++) {
        *p = *p == ',' ? ' ' : *p;
    }
    r->t.sources = view_of(r->sources);
}

static void take_options(struct opts *o, struct row *r)
{
    struct trunk *t = &r->t;
    uint32_t port = t->port;
    unsigned proto = t->proto, auth = t->auth, form = t->form, verify = t->stir_verify;
    struct view user = t->auth_user;

    opt_text(o, "--host", &t->host);
    opt_number(o, "--port", 65535, &port);
    opt_choice(o, "--transport", TRANSPORTS, &proto);
    opt_choice(o, "--auth", AUTHS, &auth);
    opt_text(o, "--tls-name", &t->tls_name);
    take_sources(o, r);
    opt_yes(o, "--trusts-identity", &t->trusts_identity);
    opt_yes(o, "--sends-identity", &t->sends_identity);
    opt_yes(o, "--transit", &t->may_transit);
    opt_choice(o, "--number-form", FORMS, &form);
    opt_number(o, "--strip", 15, &t->strip);
    opt_text(o, "--add", &t->add);
    opt_text(o, "--default-number", &t->default_number);
    opt_number(o, "--max-channels", NUMBER_MAX, &t->max_channels);
    opt_number(o, "--max-cps", NUMBER_MAX, &t->max_cps);
    opt_number(o, "--ping", 3600, &t->ping_s);
    opt_yes(o, "--stir-sign", &t->stir_sign);
    opt_choice(o, "--stir-verify", VERIFY, &verify);
    opt_text(o, "--user", &t->auth_user);
    if (o->rc == CTL_OK) {
        r->password_file = ctl_option(o->a, "--password-file");
        o->taken += r->password_file != NULL;
    }
    t->port = (uint16_t)port;
    t->proto = (uint8_t)proto;
    t->auth = (enum trunk_auth)auth;
    t->form = (enum number_form)form;
    t->stir_verify = (uint8_t)verify;
    r->user_changed = !view_eq(user, t->auth_user);
}

static int check(const struct row *r)
{
    struct trunk t = r->t;
    const char *fault = NULL;

    t.trunk_id = 1;
    fault = trunk_fault(&t);
    if (fault != NULL) {
        return ctl_fail(CTL_USAGE, "%s", fault);
    }
    if (r->password_file != NULL && t.auth_user.n == 0) {
        return ctl_fail(CTL_USAGE, "--password-file needs --user");
    }
    if (r->password_file == NULL && r->user_changed && t.auth_user.n > 0) {
        return ctl_fail(CTL_USAGE,
                        "--user needs --password-file (a file, or - for standard input)");
    }
    return CTL_OK;
}

/* ---- the password ---- */

/* One line of a file, or of standard input. */
static int read_password(const char *path, struct secret *out)
{
    char line[SECRET_MAX + 4];
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    int rc = CTL_OK;
    size_t n = 0;

    if (f == NULL) {
        return ctl_fail(CTL_REFUSED, "%s: cannot be read", path);
    }
    setvbuf(f, NULL, _IONBF, 0); /* no copy of it stays in a buffer */
    n = fread(line, 1, sizeof line, f);
    while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r')) {
        n--;
    }
    if (n == 0 || n > SECRET_MAX || memchr(line, '\n', n) != NULL ||
        secret_set(out, line, n) != E_OK) {
        rc = ctl_fail(CTL_REFUSED, "%s: one line of 1 to %d octets expected", path, SECRET_MAX);
    }
    wipe(line, sizeof line);
    if (f != stdin) {
        fclose(f);
    }
    return rc;
}

static int seal(struct ctl *c, const struct row *r, uint8_t *sealed, size_t max, size_t *out_n)
{
    struct secret password = {.n = 0};
    int rc = read_password(r->password_file, &password);

    if (rc == CTL_OK) {
        rc = ctl_seal_trunk(c, r->t.name, r->t.auth_user, &password, sealed, max, out_n);
    }
    secret_wipe(&password);
    return rc;
}

/* ---- reading and writing ---- */

static unsigned index_of(const char *const *words, struct view v)
{
    unsigned i = 0;

    while (words[i] != NULL && !view_eq(v, view_of(words[i]))) {
        i++;
    }
    return words[i] != NULL ? i : 0;
}

static int read_row(struct ctl *c, const char *name, struct row *r)
{
    const struct pg_param p = PG_TEXT(view_of(name));
    int rc = ctl_query(c,
                       "SELECT name, host, port, transport, auth, tls_name, "
                       "array_to_string(sources, ' '), trusts_identity, sends_identity, "
                       "may_transit, disabled, number_form, strip, add_digits, default_number, "
                       "max_channels, max_cps, ping_s, auth_user, stir_sign, stir_verify "
                       "FROM core.trunk WHERE name = $1",
                       &p, 1, &r->was);
    const struct pg_result *w = r->was;

    if (rc != CTL_OK) {
        return rc;
    }
    if (pg_rows(w) != 1) {
        return ctl_fail(CTL_REFUSED, "no trunk '%s' (trunk list shows them)", name);
    }
    r->t = (struct trunk){.name = pg_text(w, 0, 0),
                          .host = pg_text(w, 0, 1),
                          .port = (uint16_t)pg_u64(w, 0, 2),
                          .proto = (uint8_t)index_of(TRANSPORTS, pg_text(w, 0, 3)),
                          .auth = (enum trunk_auth)index_of(AUTHS, pg_text(w, 0, 4)),
                          .tls_name = pg_text(w, 0, 5),
                          .sources = pg_text(w, 0, 6),
                          .trusts_identity = pg_bool(w, 0, 7),
                          .sends_identity = pg_bool(w, 0, 8),
                          .may_transit = pg_bool(w, 0, 9),
                          .disabled = pg_bool(w, 0, 10),
                          .form = (enum number_form)index_of(FORMS, pg_text(w, 0, 11)),
                          .strip = (uint32_t)pg_u64(w, 0, 12),
                          .add = pg_text(w, 0, 13),
                          .default_number = pg_text(w, 0, 14),
                          .max_channels = (uint32_t)pg_u64(w, 0, 15),
                          .max_cps = (uint32_t)pg_u64(w, 0, 16),
                          .ping_s = (uint32_t)pg_u64(w, 0, 17),
                          .auth_user = pg_text(w, 0, 18),
                          .stir_sign = pg_bool(w, 0, 19),
                          .stir_verify = (uint8_t)index_of(VERIFY, pg_text(w, 0, 20))};
    return CTL_OK;
}

/* The row's columns as parameters of both statements; $20 is NULL to leave the password alone. */
static int write_row(struct ctl *c, const struct row *r, const char *sql, struct view sealed)
{
    const struct trunk *t = &r->t;
    char n[6][OPT_TEXT_MAX];
    struct pg_result *result = NULL;
    const struct pg_param p[COLUMNS] = {
        opt_text_param(t->name),
        opt_text_param(t->host),
        opt_uint_param(t->port, n[0]),
        PG_TEXT(t->proto == 0 ? VIEW("") : view_of(TRANSPORTS[t->proto])),
        PG_TEXT(view_of(AUTHS[t->auth])),
        opt_text_param(t->tls_name),
        opt_text_param(t->sources),
        opt_bool_param(t->trusts_identity),
        opt_bool_param(t->sends_identity),
        opt_bool_param(t->may_transit),
        opt_bool_param(t->disabled),
        PG_TEXT(view_of(FORMS[t->form])),
        opt_uint_param(t->strip, n[1]),
        opt_text_param(t->add),
        opt_text_param(t->default_number),
        opt_uint_param(t->max_channels, n[2]),
        opt_uint_param(t->max_cps, n[3]),
        opt_uint_param(t->ping_s, n[4]),
        opt_text_param(t->auth_user),
        sealed.p != NULL ? PG_BYTES(sealed) : PG_NULL,
        opt_bool_param(t->stir_sign),
        PG_TEXT(view_of(VERIFY[t->stir_verify])),
    };
    int rc = ctl_query(c, sql, p, COLUMNS, &result);

    if (rc == CTL_OK && pg_rows(result) == 0) {
        rc = ctl_fail(CTL_REFUSED, "trunk '%.*s' exists already (trunk set changes it)",
                      (int)t->name.n, t->name.p);
    }
    pg_result_free(result);
    return rc;
}

#define SOURCES_SQL "coalesce(string_to_array(nullif(btrim($7), ''), ' ')::cidr[], '{}')"
#define SQL_ADD                                                                                    \
    "INSERT INTO core.trunk (name, host, port, transport, auth, tls_name, sources, "               \
    "trusts_identity, sends_identity, may_transit, disabled, number_form, strip, add_digits, "     \
    "default_number, max_channels, max_cps, ping_s, auth_user, auth_sealed, stir_sign, "           \
    "stir_verify) VALUES ($1, $2, $3, $4, $5, $6, " SOURCES_SQL ", $8, $9, $10, $11, $12, $13, "   \
    "$14, $15, $16, $17, $18, $19, coalesce($20, ''::bytea), $21, $22) "                           \
    "ON CONFLICT (name) DO NOTHING RETURNING trunk_id"
#define SQL_SET                                                                                    \
    "UPDATE core.trunk SET host = $2, port = $3, transport = $4, auth = $5, tls_name = $6, "       \
    "sources = " SOURCES_SQL ", trusts_identity = $8, sends_identity = $9, may_transit = $10, "    \
    "disabled = $11, number_form = $12, strip = $13, add_digits = $14, default_number = $15, "     \
    "max_channels = $16, max_cps = $17, ping_s = $18, auth_user = $19, auth_sealed = CASE WHEN "   \
    "$19 = '' THEN '' ELSE coalesce($20, auth_sealed) END, stir_sign = $21, stir_verify = $22 "    \
    "WHERE name = $1 RETURNING trunk_id"

static int finish(struct ctl *c, struct row *r, const char *sql)
{
    uint8_t sealed[256];
    size_t n = 0;
    int rc = check(r);

    if (rc == CTL_OK && r->password_file != NULL) {
        rc = seal(c, r, sealed, sizeof sealed, &n);
    }
    if (rc == CTL_OK) {
        rc = write_row(c, r, sql, n > 0 ? view_from(sealed, n) : (struct view){0});
    }
    pg_result_free(r->was);
    return rc;
}

int ctl_trunk_add(struct ctl *c, struct ctl_args *a)
{
    struct row r = {.t = {.ping_s = 10}};
    struct opts o = {.a = a};

    take_options(&o, &r);
    opt_end(&o, 2, USAGE_ADD);
    if (o.rc != CTL_OK) {
        return o.rc;
    }
    r.t.name = view_of(a->v[0]);
    r.t.host = view_of(a->v[1]);
    return finish(c, &r, SQL_ADD);
}

int ctl_trunk_set(struct ctl *c, struct ctl_args *a)
{
    struct row r = {.was = NULL};
    struct opts o = {.a = a};
    int rc = a->n > 0 ? read_row(c, a->v[0], &r)
                      : ctl_fail(CTL_USAGE, "usage: headgatectl %s", USAGE_SET);

    if (rc == CTL_OK) {
        take_options(&o, &r);
        opt_end(&o, 1, USAGE_SET);
        rc = o.rc;
    }
    if (rc == CTL_OK && o.taken == 0) {
        rc = ctl_fail(CTL_USAGE, "nothing to set; usage: headgatectl %s", USAGE_SET);
    }
    if (rc == CTL_OK) {
        return finish(c, &r, SQL_SET);
    }
    pg_result_free(r.was);
    return rc;
}

/* ---- the short ones ---- */

int ctl_trunk_list(struct ctl *c, struct ctl_args *a)
{
    struct pg_result *r = NULL;
    struct opts o = {.a = a};

    opt_end(&o, 0, "trunk list");
    if (o.rc == CTL_OK) {
        o.rc = ctl_query(c,
                         "SELECT t.name, t.host, CASE t.port WHEN 0 THEN '' ELSE t.port::text END, "
                         "CASE t.transport WHEN '' THEN 'any' ELSE t.transport END, t.auth, "
                         "array_to_string(t.sources, ' '), t.number_form, t.max_channels, "
                         "CASE WHEN t.disabled THEN 'yes' ELSE 'no' END, count(r.route_id) FROM "
                         "core.trunk t LEFT JOIN core.route r USING (trunk_id) GROUP BY t.trunk_id "
                         "ORDER BY t.name",
                         NULL, 0, &r);
    }
    if (o.rc == CTL_OK) {
        o.rc = ctl_show(c, r,
                        (const char *const[]){"name", "host", "port", "transport", "auth",
                                              "sources", "number_form", "max_channels", "disabled",
                                              "routes", NULL});
    }
    pg_result_free(r);
    return o.rc;
}

int ctl_trunk_show(struct ctl *c, struct ctl_args *a)
{
    static const char *const names[] = {
        "name",           "host",     "port",           "transport",
        "auth",           "tls_name", "sources",        "trusts_identity",
        "sends_identity", "transit",  "disabled",       "number_form",
        "strip",          "add",      "default_number", "max_channels",
        "max_cps",        "ping",     "user",           "stir_sign",
        "stir_verify",    "routes"};
    enum { FIELDS = sizeof names / sizeof *names };
    char values[FIELDS][SOURCES];
    const char *pairs[2 * FIELDS + 1];
    struct pg_result *r = NULL;
    struct opts o = {.a = a};

    opt_end(&o, 1, "trunk show NAME");
    if (o.rc == CTL_OK) {
        o.rc = ctl_query(
            c,
            "SELECT t.name, host, port, CASE transport WHEN '' THEN 'any' ELSE transport END, "
            "auth, tls_name, array_to_string(sources, ' '), " YES("trusts_identity") ", " YES(
                "sends_identity") ", "
                                  "" YES("may_transit") ", " YES(
                                      "disabled") ", number_form, strip, add_digits, "
                                                  "default_number, "
                                                  "t.max_channels, max_cps, ping_s, "
                                                  "auth_user, " YES(
                                                      "stir_sign") ", stir_verify, "
                                                                   "coalesce((SELECT "
                                                                   "string_agg(r.name, ' ' "
                                                                   "ORDER BY r.name) FROM "
                                                                   "core.route r WHERE "
                                                                   "r.trunk_id = t.trunk_id), '') "
                                                                   "FROM core.trunk t WHERE t.name "
                                                                   "= $1",
            (const struct pg_param[]){PG_TEXT(view_of(a->v[0]))}, 1, &r);
    }
    if (o.rc == CTL_OK && pg_rows(r) == 0) {
        o.rc = ctl_fail(CTL_REFUSED, "no trunk '%s' (trunk list shows them)", a->v[0]);
    }
    for (size_t i = 0; o.rc == CTL_OK && i < FIELDS; i++) {
        struct view v = view_sub(pg_text(r, 0, i), 0, SOURCES - 1);
        IGNORE(view_to_cstr(v, values[i], sizeof values[i]), "the database holds no NUL");
        pairs[2 * i] = names[i];
        pairs[2 * i + 1] = values[i];
    }
    if (o.rc == CTL_OK) {
        pairs[2 * FIELDS] = NULL;
        ctl_say(c, pairs);
    }
    pg_result_free(r);
    return o.rc;
}

static int switch_trunk(struct ctl *c, struct ctl_args *a, const char *usage, const char *sql)
{
    struct pg_result *r = NULL;
    struct opts o = {.a = a};

    opt_end(&o, 1, usage);
    if (o.rc == CTL_OK) {
        o.rc = ctl_query(c, sql, (const struct pg_param[]){PG_TEXT(view_of(a->v[0]))}, 1, &r);
    }
    if (o.rc == CTL_OK && pg_affected(r) == 0) {
        o.rc = ctl_fail(CTL_REFUSED, "no trunk '%s' (trunk list shows them)", a->v[0]);
    }
    pg_result_free(r);
    return o.rc;
}

int ctl_trunk_disable(struct ctl *c, struct ctl_args *a)
{
    return switch_trunk(c, a, "trunk disable NAME",
                        "UPDATE core.trunk SET disabled = true WHERE name = $1");
}

int ctl_trunk_enable(struct ctl *c, struct ctl_args *a)
{
    return switch_trunk(c, a, "trunk enable NAME",
                        "UPDATE core.trunk SET disabled = false WHERE name = $1");
}

int ctl_trunk_remove(struct ctl *c, struct ctl_args *a)
{
    struct pg_result *r = NULL;
    struct opts o = {.a = a};

    opt_end(&o, 1, "trunk remove NAME");
    if (o.rc == CTL_OK) {
        o.rc = ctl_query(c,
                         "SELECT string_agg(r.name, ', ' ORDER BY r.name) FROM core.route r JOIN "
                         "core.trunk t USING (trunk_id) WHERE t.name = $1",
                         (const struct pg_param[]){PG_TEXT(view_of(a->v[0]))}, 1, &r);
    }
    if (o.rc == CTL_OK && !pg_is_null(r, 0, 0)) {
        struct view names = pg_text(r, 0, 0);
        o.rc = ctl_fail(CTL_REFUSED, "trunk '%s' is used by routes: %.*s", a->v[0], (int)names.n,
                        names.p);
    }
    pg_result_free(r);
    return o.rc != CTL_OK
               ? o.rc
               : switch_trunk(c, a, "trunk remove NAME", "DELETE FROM core.trunk WHERE name = $1");
}
