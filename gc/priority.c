/* Namespaces of RFC 4412 and RFC 7135, one order over those in use, and what a request asks. */
#include "gc/priority.h"

#include <stdio.h>
#include <string.h>

struct space { /* one namespace */
    const char *name;
    bool preempts; /* its algorithm (RFC 4412 section 9); else it queues */
    uint8_t n;
    const char *value[PRIORITY_LEVELS_MAX]; /* lowest first */
};

static const struct space spaces[PRIORITY_NAMESPACES] = {
    {"dsn", true, 5, {"routine", "priority", "immediate", "flash", "flash-override"}},
    {"drsn",
     true,
     6,
     {"routine", "priority", "immediate", "flash", "flash-override", "flash-override-override"}},
    {"q735", true, 5, {"4", "3", "2", "1", "0"}},
    {"ets", false, 5, {"4", "3", "2", "1", "0"}},
    {"wps", false, 5, {"4", "3", "2", "1", "0"}},
    {"esnet", false, 5, {"0", "1", "2", "3", "4"}}, /* 4 is the highest (RFC 7135 section 2) */
};
enum { DRSN = 1, OVER_OVERRIDE = 5 };

/* Equal levels of the five-level namespaces are equal here. */
static const char built_in[] = "dsn.routine=drsn.routine=q735.4=ets.4=wps.4=esnet.0 "
                               "dsn.priority=drsn.priority=q735.3=ets.3=wps.3=esnet.1 "
                               "dsn.immediate=drsn.immediate=q735.2=ets.2=wps.2=esnet.2 "
                               "dsn.flash=drsn.flash=q735.1=ets.1=wps.1=esnet.3 "
                               "dsn.flash-override=drsn.flash-override=q735.0=ets.0=wps.0=esnet.4 "
                               "drsn.flash-override-override";

/* ---- texts -------------------------------------------------------------------------------------
 */
static bool is_no_dot(char c) /* of token-nodot */
{
    return is_token_char((unsigned char)c) && c != '.';
}

static bool is_word(struct view v)
{
    for (size_t i = 0; i < v.n; i++) {
        if (!is_no_dot(v.p[i])) {
            return false;
        }
    }
    return v.n > 0;
}

/* namespace "." r-priority */
static bool split(struct view r_value, struct view *space, struct view *value)
{
    size_t dot = 0;

    if (!view_find(r_value, '.', &dot)) {
        return false;
    }
    *space = view_sub(r_value, 0, dot);
    *value = view_sub(r_value, dot + 1, r_value.n);
    return is_word(*space) && is_word(*value);
}

static int space_of(struct view name) /* -1: not known */
{
    for (int i = 0; i < PRIORITY_NAMESPACES; i++) {
        if (view_eq_nocase(name, view_of(spaces[i].name))) {
            return i;
        }
    }
    return -1;
}

static int value_of(int space, struct view value)
{
    for (int i = 0; i < spaces[space].n; i++) {
        if (view_eq_nocase(value, view_of(spaces[space].value[i]))) {
            return i;
        }
    }
    return -1;
}

static bool is_between(char c, const char *separators)
{
    return strchr(separators, c) != NULL && c != 0;
}

static bool next_word(struct view *rest, const char *separators, struct view *out)
{
    size_t from = 0, to = 0;

    while (from < rest->n && is_between(rest->p[from], separators)) {
        from++;
    }
    for (to = from; to < rest->n && !is_between(rest->p[to], separators);) {
        to++;
    }
    *out = view_sub(*rest, from, to - from);
    *rest = view_sub(*rest, to, rest->n);
    return out->n > 0;
}

/* ---- the plan ----------------------------------------------------------------------------------
 */
struct reading {
    struct priority_plan *p;
    bool skips; /* the built-in order names all namespaces, also those that are not used */
    char *why;
    size_t why_bytes;
};

static enum err refuse(const struct reading *r, const char *what, struct view at)
{
    snprintf(r->why, r->why_bytes, "%.*s: %s", (int)(at.n < 60 ? at.n : 60), at.p, what);
    return FAIL(E_PARSE);
}

static enum err read_spaces(const struct reading *r, struct view list, bool *flags,
                            const bool *within)
{
    struct view word;

    while (next_word(&list, " ,\t", &word)) {
        int i = space_of(word);
        if (i < 0) {
            return refuse(r, "no namespace that is known (dsn drsn q735 ets wps esnet)", word);
        }
        if (within != NULL && !within[i]) {
            return refuse(r, "is not one of priority.namespaces", word);
        }
        flags[i] = true;
    }
    return E_OK;
}

static enum err place(const struct reading *r, struct view r_value, unsigned rank)
{
    struct view name, text;
    int space = split(r_value, &name, &text) ? space_of(name) : -1;
    int value = space >= 0 ? value_of(space, text) : -1;

    if (value < 0) {
        return refuse(r, "no r-value that is known", r_value);
    }
    if (!r->p->uses[space]) {
        return r->skips ? E_OK : refuse(r, "its namespace is not in use", r_value);
    }
    if (r->p->rank[space][value] != 0) {
        return refuse(r, "stands in the order twice", r_value);
    }
    r->p->rank[space][value] = (uint8_t)rank;
    return E_OK;
}

/* Its own order counts within each namespace (RFC 4412 section 8.1). */
static enum err check_order(const struct reading *r)
{
    for (int s = 0; s < PRIORITY_NAMESPACES; s++) {
        unsigned last = 0;
        for (int v = 0; v < spaces[s].n; v++) {
            unsigned rank = r->p->rank[s][v];
            if (rank != 0 && rank <= last) {
                snprintf(r->why, r->why_bytes,
                         "%s.%s must stand above the lower values of its namespace", spaces[s].name,
                         spaces[s].value[v]);
                return FAIL(E_PARSE);
            }
            last = rank != 0 ? rank : last;
        }
        if (r->p->uses[s] && last == 0) {
            return refuse(r, "none of its values stands in the order", view_of(spaces[s].name));
        }
    }
    return E_OK;
}

enum err priority_plan_read(const struct priority_texts *t, struct priority_plan *out, char *why,
                            size_t why_bytes)
{
    struct priority_plan p = {.is_on = true};
    struct view order = view_trim(t->order), group, r_value;
    struct reading r = {.p = &p, .skips = order.n == 0, .why = why, .why_bytes = why_bytes};
    unsigned rank = 0;
    enum err e = E_OK;

    for (int i = 0; i < PRIORITY_NAMESPACES; i++) {
        p.preempts[i] = spaces[i].preempts;
    }
    TRY(read_spaces(&r, t->namespaces, p.uses, NULL));
    TRY(read_spaces(&r, t->preempting, p.preempts, p.uses));
    order = order.n == 0 ? view_of(built_in) : order;
    while (next_word(&order, " \t", &group)) {
        rank++;
        if (rank > UINT8_MAX) {
            TRY(refuse(&r, "too many ranks", group));
        }
        while (next_word(&group, "=", &r_value)) {
            TRY(place(&r, r_value, rank));
        }
    }
    TRY(check_order(&r));
    *out = p;
out:
    return e;
}

/* ---- requests ----------------------------------------------------------------------------------
 */
static unsigned defends(const struct priority_plan *p, int space, int value)
{
    unsigned rank = p->rank[space][value];

    if (space != DRSN || value != OVER_OVERRIDE) {
        return rank;
    }
    return p->rank[DRSN][OVER_OVERRIDE - 1] != 0 ? p->rank[DRSN][OVER_OVERRIDE - 1] : rank - 1;
}

static void take(const struct priority_plan *p, int space, int value, struct priority_ask *a)
{
    unsigned rank = p->rank[space][value];

    a->is_known = true;
    a->asked[space] = (uint8_t)(value + 1);
    if (rank > a->rank || (rank == a->rank && p->preempts[space] && !a->preempts)) {
        a->rank = rank;
        a->defends = defends(p, space, value);
        a->preempts = p->preempts[space];
        snprintf(a->value, sizeof a->value, "%s.%s", spaces[space].name,
                 spaces[space].value[value]);
    }
}

enum err priority_read(const struct priority_plan *p, struct view list, struct priority_ask *out)
{
    struct priority_ask a = {.is_present = true};
    struct view seen[PRIORITY_VALUES_MAX];
    unsigned n = 0;
    bool more = true;

    while (more) {
        size_t comma = list.n;
        struct view name, text;
        int space = -1, value = -1;
        more = view_find(list, ',', &comma);
        if (!split(view_trim(view_sub(list, 0, comma)), &name, &text) || n == PRIORITY_VALUES_MAX) {
            return FAIL(E_PARSE);
        }
        list = view_sub(list, comma + 1, list.n);
        for (unsigned i = 0; i < n; i++) {
            if (view_eq_nocase(seen[i], name)) {
                return FAIL(E_PARSE);
            }
        }
        seen[n++] = name;
        space = space_of(name);
        value = space >= 0 ? value_of(space, text) : -1;
        if (value >= 0 && p->uses[space] && p->rank[space][value] != 0) {
            take(p, space, value, &a);
        } else if (space >= 0) {
            a.is_foreign = true;
        }
    }
    *out = a;
    return E_OK;
}

bool priority_may(const struct priority_plan *p, struct view entitled,
                  const struct priority_ask *ask)
{
    uint8_t granted[PRIORITY_NAMESPACES] = {0};
    struct view word, name, text;

    while (next_word(&entitled, " ", &word)) {
        int space = split(word, &name, &text) ? space_of(name) : -1;
        int value = space >= 0 && p->uses[space] ? value_of(space, text) : -1;
        if (value >= 0) {
            granted[space] = (uint8_t)(value + 1);
        }
    }
    for (int s = 0; s < PRIORITY_NAMESPACES; s++) {
        if (ask->asked[s] > granted[s]) {
            return false;
        }
    }
    return true;
}

unsigned priority_rank(const struct priority_plan *p, struct view r_value)
{
    struct view name, text;
    int space = split(r_value, &name, &text) ? space_of(name) : -1;
    int value = space >= 0 && p->uses[space] ? value_of(space, text) : -1;

    return value >= 0 ? p->rank[space][value] : 0;
}

size_t priority_accept(const struct priority_plan *p, char *dst, size_t dst_bytes)
{
    size_t n = 0;

    for (int s = 0; s < PRIORITY_NAMESPACES; s++) {
        for (int v = spaces[s].n; p->is_on && v-- > 0;) {
            int more = p->rank[s][v] == 0
                           ? 0
                           : snprintf(dst + n, dst_bytes - n, "%s%s.%s", n > 0 ? ", " : "",
                                      spaces[s].name, spaces[s].value[v]);
            if (more < 0 || (size_t)more >= dst_bytes - n) {
                return 0;
            }
            n += (size_t)more;
        }
    }
    return n;
}
