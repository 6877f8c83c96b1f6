/* admin_api/principal.h - who asks, and what he may: deny by default.
 *
 * A principal is an administrator of core.administrator, known by a bearer token (hash in the
 * database), a client certificate (its name) or the Unix user at the other end of the socket; or
 * "os:root" and the daemon's own user there, which may do everything. Roles are sets of permissions
 * (principal_rules.c is the table of the built-in ones; docs/admin-api.md prints it). Everything is
 * read from the database into one immutable table that is exchanged when it changes, so that
 * reading goes on while the database is away (for stale_ms at most).
 * Database   the person of headgate.person is principal.name (migrations/0007_admin.sql).
 * Threads    any; a thread of its own follows the database and writes refusals. */
#ifndef ADMIN_API_PRINCIPAL_H
#define ADMIN_API_PRINCIPAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/httpd.h"
#include "base/view.h"

enum { PRINCIPAL_NAME_MAX = 128, PERMISSIONS_MAX = 128 };

struct permissions {
    uint64_t bits[PERMISSIONS_MAX / 64];
};

struct principal {
    uint64_t admin_id;             /* of core.administrator; 0: os: */
    uint64_t token_id;             /* of core.token; 0: no token */
    char name[PRINCIPAL_NAME_MAX]; /* "anna"; "os:root" */
    const char *how;               /* "token", "certificate", "peer" */
    struct permissions may;        /* roles, cut down to the token's scopes; always "self" */
    bool grants_all; /* role security without a scope, or os: ; may give what he does not hold */
};

struct principals;

/* ---- permissions (principal_rules.c) ------------------------------------------------------- */
/* The permission's number, by its name ("calls.read"); false: there is none such. Names are the
 * x-permission of operations. "self" is what everybody has whom we know: his own tokens, the
 * document, the version. */
bool permission_find(struct view name, unsigned *out);
const char *permission_name(unsigned permission); /* NULL past the last */
bool principal_may(const struct principal *p, unsigned permission);

void permissions_add(struct permissions *p, unsigned permission);
bool permissions_have(const struct permissions *p, unsigned permission);
/* a has everything that b has */
bool permissions_cover(const struct permissions *a, const struct permissions *b);
/* The permissions of a built-in role ("viewer"); false: none such. */
bool role_builtin(struct view name, struct permissions *out);
const char *role_builtin_name(unsigned i); /* NULL past the last */
const char *role_builtin_help(unsigned i);

/* ---- who ------------------------------------------------------------------------------------ */
/* E_AUTH: nobody we know (wrong, expired or revoked token, disabled administrator, strange
 * certificate, other Unix user): the caller learns nothing more. E_DENIED: too many failures from
 * that source lately (429). E_STATE: the table is too old to be trusted, or was never read (503).
 * Failures go to the audit log, a row for each source and minute. */
MUST_CHECK enum err principals_who(struct principals *p, const struct httpd_request *r,
                                   struct principal *out);
/* Somebody we know was refused an operation (403): goes to the audit log soon after. The first of
 * its kind is a row, the same again within a minute is counted in a second row. why: for people.
 */
void principals_refused(struct principals *p, const struct httpd_request *r,
                        const struct principal *who, const char *operation, const char *why);
/* An administrator as his roles make him now, without a token; false: no such, or disabled. */
bool principals_find(struct principals *p, uint64_t admin_id, struct principal *out);
/* Whether an enabled administrator other than `but` has all of these permissions. */
bool principals_anybody(struct principals *p, uint64_t but, const struct permissions *need);

struct principals_cfg {
    const char *conninfo;    /* the database, as hg_api */
    unsigned stale_ms;       /* 1 h */
    const char *local_group; /* Unix users of this group may ask as the administrator whose os_user
                                they are; "": only listed os_user */
};
MUST_CHECK enum err principals_open(const struct principals_cfg *cfg, struct principals **out);
/* Whether the database is there now, and whether we know who may what (from now, or not too long
 * ago). */
void principals_health(struct principals *p, bool *database_up, bool *knows);
void principals_close(struct principals *p); /* writes what was refused meanwhile, 2 s at most */
/* After a commit that changed administrators, roles or tokens: returns when this process goes by
 * it (2 s at most, then the database's word comes later). */
void principals_follow(struct principals *p);

#endif
