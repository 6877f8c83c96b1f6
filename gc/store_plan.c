/* Patches: trunks, routes, dial rules and emergency modes, which are read all together because they
 * are few and name each other; and credentials, which belong to their line as its numbers do. */
#include <stdlib.h>
#include <string.h>

#include "gc/store_int.h"

/* ---- all or nothing ----------------------------------------------------------------------------
 */
void patch_plan(struct patch *p)
{
    p->has_plan = true;
    p->n_trunks = p->n_routes = p->n_rules = p->n_modes = 0;
    p->plan_order = ++p->order;
}

enum err patch_add_trunk(struct patch *p, const struct trunk *t)
{
    struct trunk *rows = patch_grown(p->trunks, p->n_trunks, &p->max_trunks, sizeof *rows);
    struct trunk row = *t;
    enum err e = rows != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    p->trunks = rows;
    TRY(patch_keep(p, t->name, &row.name));
    TRY(patch_keep(p, t->host, &row.host));
    TRY(patch_keep(p, t->tls_name, &row.tls_name));
    TRY(patch_keep(p, t->sources, &row.sources));
    TRY(patch_keep(p, t->add, &row.add));
    TRY(patch_keep(p, t->default_number, &row.default_number));
    TRY(patch_keep(p, t->auth_user, &row.auth_user));
    TRY(patch_keep(p, t->auth_sealed, &row.auth_sealed));
    TRY(patch_keep(p, t->priority, &row.priority));
    p->trunks[p->n_trunks++] = row;
out:
    return e;
}

enum err patch_add_route(struct patch *p, const struct route *r)
{
    struct route *rows = patch_grown(p->routes, p->n_routes, &p->max_routes, sizeof *rows);
    struct route row = *r;
    enum err e = rows != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    p->routes = rows;
    TRY(patch_keep(p, r->prefix, &row.prefix));
    TRY(patch_keep(p, r->next_hop, &row.next_hop));
    TRY(patch_keep(p, r->name, &row.name));
    p->routes[p->n_routes++] = row;
out:
    return e;
}

enum err patch_add_rule(struct patch *p, const struct dial_rule *r)
{
    struct dial_rule *rows = patch_grown(p->rules, p->n_rules, &p->max_rules, sizeof *rows);
    struct dial_rule row = *r;
    enum err e = rows != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    p->rules = rows;
    TRY(patch_keep(p, r->prefix, &row.prefix));
    TRY(patch_keep(p, r->add, &row.add));
    TRY(patch_keep(p, r->name, &row.name));
    p->rules[p->n_rules++] = row;
out:
    return e;
}

enum err patch_add_mode(struct patch *p, const struct emergency_mode *m)
{
    struct emergency_mode *rows = patch_grown(p->modes, p->n_modes, &p->max_modes, sizeof *rows);
    struct emergency_mode row = *m;
    enum err e = rows != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    p->modes = rows;
    TRY(patch_keep(p, m->prefixes, &row.prefixes));
    TRY(patch_keep(p, m->trunks, &row.trunks));
    TRY(patch_keep(p, m->exempt_lines, &row.exempt_lines));
    TRY(patch_keep(p, m->exempt_trunks, &row.exempt_trunks));
    TRY(patch_keep(p, m->declared_by, &row.declared_by));
    TRY(patch_keep(p, m->reason, &row.reason));
    p->modes[p->n_modes++] = row;
out:
    return e;
}

enum err patch_copy_plan(const struct patch *from, struct patch *to)
{
    enum err e = E_OK;

    patch_plan(to);
    for (size_t i = 0; i < from->n_trunks; i++) {
        TRY(patch_add_trunk(to, &from->trunks[i]));
    }
    for (size_t i = 0; i < from->n_routes; i++) {
        TRY(patch_add_route(to, &from->routes[i]));
    }
    for (size_t i = 0; i < from->n_rules; i++) {
        TRY(patch_add_rule(to, &from->rules[i]));
    }
    for (size_t i = 0; i < from->n_modes; i++) {
        TRY(patch_add_mode(to, &from->modes[i]));
    }
out:
    return e;
}

/* ---- credentials -------------------------------------------------------------------------------
 */
enum err patch_add_credential(struct patch *p, const struct credential *c)
{
    struct patch_credential *rows =
        patch_grown(p->credentials, p->n_credentials, &p->max_credentials, sizeof *rows);
    struct patch_credential row = {.row = *c, .order = p->order};
    enum err e = rows != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    p->credentials = rows;
    TRY(patch_keep(p, c->username, &row.row.username));
    TRY(patch_keep(p, c->ha1_sealed, &row.row.ha1_sealed));
    p->credentials[p->n_credentials++] = row;
out:
    return e;
}

enum err patch_copy_credentials(const struct patch *from, uint64_t order, struct patch *to)
{
    enum err e = E_OK;

    for (size_t i = 0; i < from->n_credentials; i++) {
        if (from->credentials[i].order > order) {
            TRY(patch_add_credential(to, &from->credentials[i].row));
            to->credentials[to->n_credentials - 1].order = from->credentials[i].order;
        }
    }
out:
    return e;
}

static int name_order(const struct credential *a, const struct credential *b)
{
    size_t least = a->username.n < b->username.n ? a->username.n : b->username.n;
    int d = least > 0 ? memcmp(a->username.p, b->username.p, least) : 0;

    if (d == 0) {
        d = (a->username.n > b->username.n) - (a->username.n < b->username.n);
    }
    return d != 0 ? d : (int)a->algorithm - (int)b->algorithm;
}

static int credential_order(const void *va, const void *vb)
{
    const struct patch_credential *a = va, *b = vb;
    int d = name_order(&a->row, &b->row);

    return d != 0 ? d : (a->order < b->order) - (a->order > b->order);
}

/* Those of an older reading of their line go; a name that moved belongs to the later line. */
void patch_latest_credentials(struct patch *p)
{
    size_t n = 0;

    for (size_t i = 0; i < p->n_credentials; i++) {
        const struct patch_line *l = patch_line_of(p, p->credentials[i].row.line_id);
        if (l != NULL && !l->gone && l->order == p->credentials[i].order) {
            p->credentials[n++] = p->credentials[i];
        }
    }
    p->n_credentials = n;
    if (n > 0) {
        qsort(p->credentials, n, sizeof *p->credentials, credential_order);
    }
    n = 0;
    for (size_t i = 0; i < p->n_credentials; i++) {
        if (i == 0 || name_order(&p->credentials[i].row, &p->credentials[n - 1].row) != 0) {
            p->credentials[n++] = p->credentials[i];
        }
    }
    p->n_credentials = n;
}

bool patch_has_username(const struct patch *p, const struct credential *c)
{
    size_t from = 0, to = p->n_credentials;

    while (from < to) {
        size_t mid = from + (to - from) / 2;
        if (name_order(&p->credentials[mid].row, c) < 0) {
            from = mid + 1;
        } else {
            to = mid;
        }
    }
    return from < p->n_credentials && name_order(&p->credentials[from].row, c) == 0;
}
