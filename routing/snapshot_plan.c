/* Rows that operators type: trunks, routes, dial rules, phones' credentials, service records. Each
 * is checked, and one that makes no sense is left out with an alarm: a typing error in one trunk
 * must not stop every other change of the network. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "routing/plan_check.h"
#include "routing/snapshot_int.h"

#define RULES_AT     2 /* in prefix_lengths */
#define USERNAME_MAX 64

static void leave_out(struct snapshot *s, const char *table, struct view name, uint64_t id,
                      const char *why)
{
    s->left_out++;
    LOG(LV_ERROR, "snapshot.row_left_out", KV("table", table), KV("row", name), KV("id", id),
        KV("why", why));
}

size_t snapshot_plan_text(const struct snapshot_input *in)
{
    size_t n = in->n_routes * (SNAPSHOT_PREFIX_MAX + SNAPSHOT_NEXT_HOP_MAX + SNAPSHOT_NAME_MAX);

    for (size_t i = 0; i < in->n_trunks; i++) {
        const struct trunk *t = &in->trunks[i];
        n += t->name.n + t->host.n + t->tls_name.n + t->sources.n + t->add.n + t->default_number.n +
             t->auth_user.n + t->auth_sealed.n + t->priority.n;
    }
    for (size_t i = 0; i < in->n_rules; i++) {
        n += in->rules[i].prefix.n + in->rules[i].add.n + SNAPSHOT_NAME_MAX;
    }
    for (size_t i = 0; i < in->n_modes; i++) {
        const struct emergency_mode *m = &in->modes[i];
        n += m->prefixes.n + m->trunks.n + m->exempt_lines.n + m->exempt_trunks.n +
             m->declared_by.n + m->reason.n;
    }
    for (size_t i = 0; i < in->n_credentials; i++) {
        n += in->credentials[i].username.n + 1 + in->credentials[i].ha1_sealed.n;
    }
    return n;
}

/* ---- trunks ---- */

static void take_trunks(struct snapshot *s, const struct snapshot_input *in)
{
    for (size_t i = 0; i < in->n_trunks; i++) {
        const struct trunk *t = &in->trunks[i];
        const char *fault = trunk_fault(t);
        if (fault) {
            leave_out(s, "trunk", t->name, t->trunk_id, fault);
            continue;
        }
        struct trunk *to = &s->trunks[s->n_trunks];
        *to = *t;
        if (snapshot_find(s, TRUNK_NAMES, t->name) != SNAPSHOT_NONE ||
            !snapshot_add(s, TRUNKS, s->n_trunks)) {
            leave_out(s, "trunk", t->name, t->trunk_id, "name, trunk_id: twice");
            continue;
        }
        to->name = snapshot_keep(s, t->name);
        to->host = snapshot_keep(s, t->host);
        to->tls_name = snapshot_keep(s, t->tls_name);
        to->sources = snapshot_keep(s, t->sources);
        to->add = snapshot_keep(s, t->add);
        to->default_number = snapshot_keep(s, t->default_number);
        to->auth_user = snapshot_keep(s, t->auth_user);
        to->auth_sealed = snapshot_keep(s, t->auth_sealed);
        to->priority = snapshot_keep(s, t->priority);
        (void)snapshot_add(s, TRUNK_NAMES, s->n_trunks);
        s->n_trunks++;
    }
}

/* ---- routes ---- */

static int view_order(struct view a, struct view b)
{
    size_t least = a.n < b.n ? a.n : b.n;
    int d = least > 0 ? memcmp(a.p, b.p, least) : 0;
    return d != 0 ? d : (a.n > b.n) - (a.n < b.n);
}

static int route_order(const void *va, const void *vb)
{
    const struct route *a = va;
    const struct route *b = vb;
    int d = ((int)a->kind > (int)b->kind) - ((int)a->kind < (int)b->kind);
    if (d == 0) {
        d = view_order(a->prefix, b->prefix);
    }
    if (d == 0) {
        d = (a->priority > b->priority) - (a->priority < b->priority);
    }
    if (d == 0) {
        d = view_order(a->name, b->name);
    }
    if (d == 0) {
        d = view_order(a->next_hop, b->next_hop);
    }
    return d != 0 ? d : (a->route_id > b->route_id) - (a->route_id < b->route_id);
}

static enum table route_table(enum route_kind kind)
{
    return kind == ROUTE_EMERGENCY ? EMERGENCIES : NEXT_HOPS;
}

static void take_routes(struct snapshot *s, const struct snapshot_input *in)
{
    for (size_t i = 0; i < in->n_routes; i++) {
        const struct route *r = &in->routes[i];
        const char *fault = route_fault(r);
        if (!fault && r->trunk_id != 0 && !snapshot_trunk(s, r->trunk_id)) {
            fault = "trunk_id: no such trunk, or it was left out";
        }
        if (fault) {
            leave_out(s, "route", r->name, r->route_id, fault);
            continue;
        }
        struct route *to = &s->routes[s->n_routes++];
        *to = *r;
        to->prefix = snapshot_keep(s, r->prefix);
        to->next_hop = snapshot_keep(s, r->next_hop);
        to->name = snapshot_keep_name(s, r->name);
        s->prefix_lengths[r->kind] |= 1ull << r->prefix.n;
    }
    if (s->n_routes > 0) {
        qsort(s->routes, s->n_routes, sizeof *s->routes, route_order);
    }
    for (size_t i = 0; i < s->n_routes; i++) {
        (void)snapshot_add(s, route_table(s->routes[i].kind), i); /* the first of each prefix */
    }
}

/* ---- dial rules ---- */

static int rule_order(const void *va, const void *vb)
{
    const struct dial_rule *a = va;
    const struct dial_rule *b = vb;
    int d = view_order(a->prefix, b->prefix);
    if (d == 0) {
        d = (a->rank > b->rank) - (a->rank < b->rank);
    }
    return d != 0 ? d : view_order(a->name, b->name);
}

static void take_rules(struct snapshot *s, const struct snapshot_input *in)
{
    for (size_t i = 0; i < in->n_rules; i++) {
        const struct dial_rule *r = &in->rules[i];
        const char *fault = rule_fault(r);
        if (fault) {
            leave_out(s, "dial_rule", r->name, i, fault);
            continue;
        }
        struct dial_rule *to = &s->rules[s->n_rules++];
        *to = *r;
        to->prefix = snapshot_keep(s, r->prefix);
        to->add = snapshot_keep(s, r->add);
        to->name = snapshot_keep_name(s, r->name);
        s->prefix_lengths[RULES_AT] |= 1ull << r->prefix.n;
    }
    if (s->n_rules > 0) {
        qsort(s->rules, s->n_rules, sizeof *s->rules, rule_order);
    }
    for (size_t i = 0; i < s->n_rules; i++) {
        (void)snapshot_add(s, RULES, i);
    }
}

/* ---- emergency modes ---- */

static void take_modes(struct snapshot *s, const struct snapshot_input *in)
{
    for (size_t i = 0; i < in->n_modes; i++) {
        const struct emergency_mode *m = &in->modes[i];
        const char *fault = mode_fault(m);
        if (fault) {
            leave_out(s, "emergency_mode", VIEW(""), m->mode_id, fault);
            continue;
        }
        struct emergency_mode *to = &s->modes[s->n_modes++];
        *to = *m;
        to->prefixes = snapshot_keep(s, m->prefixes);
        to->trunks = snapshot_keep(s, m->trunks);
        to->exempt_lines = snapshot_keep(s, m->exempt_lines);
        to->exempt_trunks = snapshot_keep(s, m->exempt_trunks);
        to->declared_by = snapshot_keep(s, m->declared_by);
        to->reason = snapshot_keep(s, m->reason);
    }
}

void snapshot_take_plan(struct snapshot *s, const struct snapshot_input *in)
{
    take_trunks(s, in);
    take_routes(s, in);
    take_rules(s, in);
    take_modes(s, in);
}

/* ---- credentials ---- */

static struct view credential_key(struct view username, enum digest_algorithm a,
                                  char key[USERNAME_MAX + 1])
{
    memcpy(key, username.p, username.n);
    key[username.n] = (char)a;
    return view_from(key, username.n + 1);
}

void snapshot_take_credentials(struct snapshot *s, const struct snapshot_input *in)
{
    for (size_t i = 0; i < in->n_credentials; i++) {
        const struct credential *c = &in->credentials[i];
        const char *fault = credential_fault(c);
        char key[USERNAME_MAX + 1];
        if (!fault && !snapshot_line(s, c->line_id)) {
            fault = "line_id: no such line";
        }
        if (fault) {
            leave_out(s, "credential", c->username, c->credential_id, fault);
            continue;
        }
        struct credential *to = &s->credentials[s->n_credentials];
        struct view kept = snapshot_keep(s, credential_key(c->username, c->algorithm, key));
        *to = *c;
        to->username = view_sub(kept, 0, c->username.n);
        to->ha1_sealed = snapshot_keep(s, c->ha1_sealed);
        if (snapshot_add(s, CREDENTIALS, s->n_credentials)) {
            s->n_credentials++;
        } else {
            leave_out(s, "credential", c->username, c->credential_id, "username, algorithm: twice");
        }
    }
}

/* ---- service records ---- */

/* A bad forwarding is none: it must neither move a call to a number that was never meant, nor hold
 * up every other change. What keeps a caller hidden stays whatever else is wrong. */
void snapshot_take_service(struct snapshot *s, struct line *l)
{
    const char *fault = service_fault(l);

    if (fault) {
        leave_out(s, "line_service", VIEW(""), l->line_id, fault);
    }
    l->services &= LINE_SERVICES;
    if (l->no_answer_s < NO_ANSWER_MIN_S || l->no_answer_s > NO_ANSWER_MAX_S) {
        l->no_answer_s = 0;
    }
    for (size_t i = 0; i < FORWARDS; i++) {
        l->forward[i] = plan_e164(l->forward[i]) ? snapshot_keep(s, l->forward[i]) : VIEW("");
    }
    l->priority = plan_priority(l->priority) ? snapshot_keep(s, l->priority) : VIEW("");
}

/* ---- reading ---- */

static const struct snapshot *plan_of(const struct snapshot *s)
{
    return s->under && !s->has_plan ? s->under : s;
}

size_t snapshot_left_out(const struct snapshot *s)
{
    return plan_of(s)->left_out + (plan_of(s) == s ? 0 : s->left_out);
}

const struct trunk *snapshot_trunk(const struct snapshot *s, uint64_t trunk_id)
{
    s = plan_of(s);
    size_t row = snapshot_find(s, TRUNKS, view_from(&trunk_id, sizeof trunk_id));
    return row == SNAPSHOT_NONE ? NULL : &s->trunks[row];
}

const struct trunk *snapshot_trunk_of_name(const struct snapshot *s, struct view name)
{
    s = plan_of(s);
    size_t row = snapshot_find(s, TRUNK_NAMES, name);
    return row == SNAPSHOT_NONE ? NULL : &s->trunks[row];
}

size_t snapshot_trunks(const struct snapshot *s)
{
    return plan_of(s)->n_trunks;
}

const struct trunk *snapshot_trunk_at(const struct snapshot *s, size_t i)
{
    s = plan_of(s);
    BUG_ON(i >= s->n_trunks);
    return &s->trunks[i];
}

size_t snapshot_modes(const struct snapshot *s)
{
    return plan_of(s)->n_modes;
}

const struct emergency_mode *snapshot_mode_at(const struct snapshot *s, size_t i)
{
    s = plan_of(s);
    BUG_ON(i >= s->n_modes);
    return &s->modes[i];
}

size_t snapshot_all_routes(const struct snapshot *s)
{
    return plan_of(s)->n_routes;
}

const struct route *snapshot_route_at(const struct snapshot *s, size_t i)
{
    s = plan_of(s);
    BUG_ON(i >= s->n_routes);
    return &s->routes[i];
}

size_t snapshot_routes(const struct snapshot *s, enum route_kind kind, struct view digits,
                       const struct route **out, size_t max)
{
    size_t got = 0;
    s = plan_of(s);
    size_t n = digits.n < SNAPSHOT_PREFIX_MAX ? digits.n : SNAPSHOT_PREFIX_MAX;
    for (; n > 0 && got < max; n--) {
        if (!(s->prefix_lengths[kind] >> n & 1)) {
            continue;
        }
        struct view prefix = view_sub(digits, 0, n);
        size_t row = snapshot_find(s, route_table(kind), prefix);
        while (row < s->n_routes && got < max && s->routes[row].kind == kind &&
               view_eq(s->routes[row].prefix, prefix)) {
            out[got++] = &s->routes[row++];
        }
    }
    return got;
}

size_t snapshot_rules(const struct snapshot *s, struct view keys, const struct dial_rule **out,
                      size_t max)
{
    size_t got = 0;
    s = plan_of(s);
    size_t n = keys.n < SNAPSHOT_PREFIX_MAX ? keys.n : SNAPSHOT_PREFIX_MAX;
    for (size_t left = n + 1; left > 0 && got < max; left--) {
        if (!(s->prefix_lengths[RULES_AT] >> (left - 1) & 1)) {
            continue;
        }
        struct view prefix = view_sub(keys, 0, left - 1);
        size_t row = snapshot_find(s, RULES, prefix);
        while (row < s->n_rules && got < max && view_eq(s->rules[row].prefix, prefix)) {
            out[got++] = &s->rules[row++];
        }
    }
    return got;
}

const struct credential *snapshot_credential(const struct snapshot *s, struct view username,
                                             enum digest_algorithm algorithm)
{
    char text[USERNAME_MAX + 1];
    if (username.n == 0 || username.n > USERNAME_MAX) {
        return NULL;
    }
    struct view key = credential_key(username, algorithm, text);
    size_t row = snapshot_find(s, CREDENTIALS, key);
    if (row != SNAPSHOT_NONE) {
        return &s->credentials[row];
    }
    row = s->under ? snapshot_find(s->under, CREDENTIALS, key) : SNAPSHOT_NONE;
    if (row == SNAPSHOT_NONE || snapshot_masks_line(s, s->under->credentials[row].line_id)) {
        return NULL;
    }
    return &s->under->credentials[row];
}
