/* The permissions there are, and what each built-in role may (docs/admin-api.md prints the table).
 */
#include <string.h>

#include "admin_api/principal_int.h"

static const char *const NAMES[PERMISSION_COUNT] = {
#define NAME(id, text) [id] = (text),
    PERMISSION_LIST(NAME)
#undef NAME
};
_Static_assert((int)PERMISSION_COUNT <= (int)PERMISSIONS_MAX, "a bit for each");

#define VIEWER                                                                                     \
    "accounts.read lines.read numbers.read btis.read orders.read credentials.read services.read "  \
    "routes.read policies.read calls.read sessions.read nodes.read alarms.read emergency.read "    \
    "changes.read"

static const struct {
    const char *name, *help, *may;
} ROLES[] = {
    {"viewer", "sees what is set up and what goes on, nothing of who called whom", VIEWER},
    {"support", "helps subscribers: their calls, boxes and passwords",
     VIEWER " ladders.read cdrs.read btis.write credentials.write"},
    {"provisioner", "sets subscribers up",
     VIEWER " accounts.write lines.write numbers.write btis.write orders.write credentials.write "
            "services.write"},
    {"operator", "runs the network: routes, trunks, calls",
     VIEWER " ladders.read cdrs.read cdrs.export routes.write calls.end changes.decide"},
    {"emergency", "makes way for calls in an emergency",
     VIEWER " ladders.read calls.end preempt emergency.declare changes.decide"},
    {"security", "gives and takes rights",
     "admins.read admins.write tokens.write policies.read policies.write changes.read "
     "changes.decide audit.read btis.read btis.write"},
    {"auditor", "sees everything, changes nothing",
     VIEWER " ladders.read cdrs.read cdrs.export traces.read admins.read audit.read"},
};

bool permission_find(struct view name, unsigned *out)
{
    for (unsigned i = 0; i < PERMISSION_COUNT; i++) {
        if (view_eq(name, view_of(NAMES[i]))) {
            *out = i;
            return true;
        }
    }
    return false;
}

const char *permission_name(unsigned permission)
{
    return permission < PERMISSION_COUNT ? NAMES[permission] : NULL;
}

void permissions_add(struct permissions *p, unsigned permission)
{
    BUG_ON(permission >= PERMISSIONS_MAX);
    p->bits[permission / 64] |= (uint64_t)1 << permission % 64;
}

bool permissions_have(const struct permissions *p, unsigned permission)
{
    return permission < PERMISSIONS_MAX && (p->bits[permission / 64] >> permission % 64 & 1) != 0;
}

bool permissions_cover(const struct permissions *a, const struct permissions *b)
{
    bool all = true;

    for (size_t i = 0; i < PERMISSIONS_MAX / 64; i++) {
        all = all && (b->bits[i] & ~a->bits[i]) == 0;
    }
    return all;
}

bool principal_may(const struct principal *p, unsigned permission)
{
    return permissions_have(&p->may, permission);
}

void permissions_all(struct permissions *p)
{
    for (unsigned i = 0; i < PERMISSION_COUNT; i++) {
        permissions_add(p, i);
    }
}

void permissions_join(struct permissions *p, const struct permissions *other)
{
    for (size_t i = 0; i < PERMISSIONS_MAX / 64; i++) {
        p->bits[i] |= other->bits[i];
    }
}

void permissions_cut(struct permissions *p, const struct permissions *to)
{
    for (size_t i = 0; i < PERMISSIONS_MAX / 64; i++) {
        p->bits[i] &= to->bits[i];
    }
}

/* Cuts the next word off *rest; words have blanks between them. */
static struct view next_word(struct view *rest)
{
    struct view word = {0};
    size_t at = 0;

    *rest = view_trim(*rest);
    word = view_find(*rest, ' ', &at) ? view_sub(*rest, 0, at) : *rest;
    *rest = view_sub(*rest, word.n, rest->n);
    return word;
}

bool permissions_read(struct view words, struct permissions *out)
{
    bool all_known = true;
    struct view word = next_word(&words);

    for (; word.n > 0; word = next_word(&words)) {
        unsigned permission = 0;
        if (permission_find(word, &permission)) {
            permissions_add(out, permission);
        } else {
            all_known = false;
        }
    }
    return all_known;
}

bool role_builtin(struct view name, struct permissions *out)
{
    for (size_t i = 0; i < sizeof ROLES / sizeof *ROLES; i++) {
        if (view_eq(name, view_of(ROLES[i].name))) {
            struct permissions may = {{0}};
            BUG_ON(!permissions_read(view_of(ROLES[i].may), &may)); /* the table above */
            *out = may;
            return true;
        }
    }
    return false;
}

const char *role_builtin_name(unsigned i)
{
    return i < sizeof ROLES / sizeof *ROLES ? ROLES[i].name : NULL;
}

const char *role_builtin_help(unsigned i)
{
    return i < sizeof ROLES / sizeof *ROLES ? ROLES[i].help : NULL;
}

void roles_read(struct view roles, struct view custom, struct permissions *out, bool *is_security)
{
    struct view word = next_word(&roles);

    *out = (struct permissions){{0}};
    *is_security = false;
    permissions_add(out, PERMISSION_SELF);
    for (; word.n > 0; word = next_word(&roles)) {
        struct permissions may = {{0}};
        if (role_builtin(word, &may)) {
            permissions_join(out, &may);
            *is_security = *is_security || view_eq(word, VIEW("security"));
        }
    }
    /* A name that a later version gave a custom role is none of this one's operations. */
    (void)permissions_read(custom, out);
}
