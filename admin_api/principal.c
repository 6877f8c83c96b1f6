/* Who asks: by token, certificate or the user at the other end of the socket. */
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "admin_api/principal_int.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/secret.h"

enum { FOLLOW_MAX_S = 2, USER_GROUPS_MAX = 256, NAMES_BYTES = 4096, USER_MAX = 64 };

/* ---- the user at the other end of the socket ---------------------------------------------------
 */
static bool user_of(uid_t uid, char name[USER_MAX], gid_t *gid)
{
    struct passwd pw, *found = NULL;
    char buffer[NAMES_BYTES];

    if (getpwuid_r(uid, &pw, buffer, sizeof buffer, &found) != 0 || found == NULL ||
        view_to_cstr(view_of(pw.pw_name), name, USER_MAX) != E_OK) {
        return false;
    }
    *gid = pw.pw_gid;
    return true;
}

static bool is_in_group(const char *user, gid_t gid, const char *group)
{
    gid_t of[USER_GROUPS_MAX];
    int n = USER_GROUPS_MAX;
    struct group gr, *found = NULL;
    char buffer[NAMES_BYTES * 4];

    if (getgrnam_r(group, &gr, buffer, sizeof buffer, &found) != 0 || found == NULL ||
        getgrouplist(user, gid, of, &n) < 0) {
        return false;
    }
    for (int i = 0; i < n; i++) {
        if (of[i] == gr.gr_gid) {
            return true;
        }
    }
    return false;
}

/* Root and the daemon's own user could do all of it without us. */
static void everything(const char *user, struct principal *out)
{
    *out = (struct principal){.how = "peer", .grants_all = true};
    snprintf(out->name, sizeof out->name, "os:%s", user);
    permissions_all(&out->may);
}

/* ---- the three ways ----------------------------------------------------------------------------
 */
static bool is_stale(struct principals *p)
{
    bool stale = true;

    pthread_mutex_lock(&p->lock);
    stale = !p->is_fresh &&
            (p->fresh_ms == 0 || clock_mono_ms(clock_system()) - p->fresh_ms > p->stale_ms);
    pthread_mutex_unlock(&p->lock);
    return stale;
}

void principals_health(struct principals *p, bool *database_up, bool *knows)
{
    *knows = !is_stale(p);
    pthread_mutex_lock(&p->lock);
    *database_up = p->is_up;
    pthread_mutex_unlock(&p->lock);
}

static enum err by_token(struct principals *p, struct view header, struct principal *out)
{
    uint8_t hash[SHA256_BYTES];
    struct view scheme = VIEW("Bearer ");
    bool found = false;

    if (!view_starts_nocase(header, scheme) ||
        token_hash(view_trim(view_sub(header, scheme.n, header.n)), hash) != E_OK) {
        return FAIL(E_AUTH);
    }
    if (is_stale(p)) {
        return FAIL(E_STATE);
    }
    pthread_rwlock_rdlock(&p->table_lock);
    found =
        p->table != NULL && principal_by_token(p->table, hash, clock_wall_us(clock_system()), out);
    pthread_rwlock_unlock(&p->table_lock);
    return found ? E_OK : FAIL(E_AUTH);
}

static enum err by_certificate(struct principals *p, const char *name, struct principal *out)
{
    bool found = false;

    if (is_stale(p)) {
        return FAIL(E_STATE);
    }
    pthread_rwlock_rdlock(&p->table_lock);
    found = p->table != NULL && principal_by_certificate(p->table, name, out);
    pthread_rwlock_unlock(&p->table_lock);
    return found ? E_OK : FAIL(E_AUTH);
}

static enum err by_user(struct principals *p, uid_t uid, struct principal *out)
{
    char user[USER_MAX] = "";
    gid_t gid = 0;
    bool known = user_of(uid, user, &gid), found = false;

    if (uid == 0 || uid == p->own) {
        everything(uid == 0 ? "root" : known ? user : "headgate", out);
        return E_OK;
    }
    if (!known || (p->local_group[0] != 0 && !is_in_group(user, gid, p->local_group))) {
        return FAIL(E_AUTH);
    }
    if (is_stale(p)) {
        return FAIL(E_STATE);
    }
    pthread_rwlock_rdlock(&p->table_lock);
    found = p->table != NULL && principal_by_os_user(p->table, user, out);
    pthread_rwlock_unlock(&p->table_lock);
    return found ? E_OK : FAIL(E_AUTH);
}

/* ---- what goes to the audit log ----------------------------------------------------------------
 */
/* Of IPv6 the network: one host has 2^64 addresses. */
static void source_of(const struct httpd_peer *peer, char out[64])
{
    struct net_addr a = peer->address;
    char text[NET_TEXT_MAX] = "";

    if (peer->kind == PEER_UNIX) {
        snprintf(out, 64, "uid %lu", (unsigned long)peer->uid);
        return;
    }
    if (a.family == 6) {
        memset(a.ip + 8, 0, 8);
    }
    net_ip_text(&a, text);
    snprintf(out, 64, "%s%s", text, a.family == 6 ? "/64" : "");
}

static void note(struct principals *p, const struct note *n)
{
    bool due = false;

    pthread_mutex_lock(&p->lock);
    due = notes_add(p->notes, n, clock_mono_ms(clock_system()));
    pthread_mutex_unlock(&p->lock);
    if (due) {
        loop_wake_send(p->wake);
    }
}

/* A token that is wrong counts against its source even where a right one would have come through:
 * a flood locks out nobody who has one. */
static enum err failed(struct principals *p, const struct httpd_request *r, const char *how)
{
    struct note n = {.person = ""};
    bool too_many = false;

    source_of(r->peer, n.source);
    pthread_mutex_lock(&p->lock);
    too_many = source_failed(p->sources, view_of(n.source), clock_mono_ms(clock_system()));
    pthread_mutex_unlock(&p->lock);
    snprintf(n.object, sizeof n.object, "sign-in from %s", n.source);
    snprintf(n.why, sizeof n.why, "nobody we know");
    snprintf(n.how, sizeof n.how, "%s", how);
    snprintf(n.request, sizeof n.request, "%s", r->request_id);
    note(p, &n);
    return too_many ? FAIL(E_DENIED) : FAIL(E_AUTH);
}

enum err principals_who(struct principals *p, const struct httpd_request *r, struct principal *out)
{
    struct view header = httpd_header(r, "Authorization");
    struct principal who = {.how = "nothing"};
    enum err e = FAIL(E_AUTH);

    if (header.n > 0) {
        who.how = "token";
        e = by_token(p, header, &who);
    } else if (r->peer->kind == PEER_CERTIFICATE) {
        who.how = "certificate";
        e = by_certificate(p, r->peer->name, &who);
    } else if (r->peer->kind == PEER_UNIX) {
        who.how = "peer";
        e = by_user(p, r->peer->uid, &who);
    }
    if (e == E_OK) {
        *out = who;
    }
    return e == E_AUTH ? failed(p, r, who.how) : e;
}

void principals_refused(struct principals *p, const struct httpd_request *r,
                        const struct principal *who, const char *operation, const char *why)
{
    struct note n = {.person = ""};

    source_of(r->peer, n.source);
    snprintf(n.person, sizeof n.person, "%s", who->name);
    snprintf(n.object, sizeof n.object, "operation %.120s", operation);
    snprintf(n.why, sizeof n.why, "%.120s", why);
    if (who->token_id != 0) {
        snprintf(n.how, sizeof n.how, "token");
        n.token_id = who->token_id;
    } else {
        snprintf(n.how, sizeof n.how, "%s", who->how);
    }
    snprintf(n.request, sizeof n.request, "%s", r->request_id);
    note(p, &n);
}

bool principals_find(struct principals *p, uint64_t admin_id, struct principal *out)
{
    bool found = false;

    pthread_rwlock_rdlock(&p->table_lock);
    found = p->table != NULL && principal_by_id(p->table, admin_id, out);
    pthread_rwlock_unlock(&p->table_lock);
    return found;
}

bool principals_anybody(struct principals *p, uint64_t but, const struct permissions *need)
{
    bool found = false;

    pthread_rwlock_rdlock(&p->table_lock);
    found = p->table != NULL && principal_any(p->table, but, need);
    pthread_rwlock_unlock(&p->table_lock);
    return found;
}

/* ---- life --------------------------------------------------------------------------------------
 */
void principals_follow(struct principals *p)
{
    struct timespec end;
    uint64_t mine = 0;
    int rc = 0;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += FOLLOW_MAX_S;
    pthread_mutex_lock(&p->lock);
    mine = ++p->asked;
    loop_wake_send(p->wake);
    while (rc == 0 && p->answered < mine && !p->closing) {
        rc = pthread_cond_timedwait(&p->turned, &p->lock, &end);
    }
    pthread_mutex_unlock(&p->lock);
}

static enum err locks_new(struct principals *p)
{
    pthread_condattr_t attr;
    bool ok = pthread_condattr_init(&attr) == 0 &&
              pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 &&
              pthread_cond_init(&p->turned, &attr) == 0 &&
              pthread_mutex_init(&p->lock, NULL) == 0 &&
              pthread_rwlock_init(&p->table_lock, NULL) == 0;

    pthread_condattr_destroy(&attr);
    return ok ? E_OK : FAIL(E_NOMEM);
}

static void parts_free(struct principals *p)
{
    if (p != NULL) {
        principal_table_free(p->table);
        notes_free(p->notes);
        source_limits_free(p->sources);
        mem_free(p->conninfo);
        mem_free(p->local_group);
        mem_free(p);
    }
}

enum err principals_open(const struct principals_cfg *cfg, struct principals **out)
{
    struct principals *p = mem_zalloc(sizeof *p);
    enum err e = p != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    p->stale_ms = cfg->stale_ms;
    p->own = geteuid();
    p->conninfo = mem_strdup(cfg->conninfo);
    p->local_group = mem_strdup(cfg->local_group != NULL ? cfg->local_group : "");
    TRY(p->conninfo != NULL && p->local_group != NULL ? E_OK : FAIL(E_NOMEM));
    TRY(notes_new(&p->notes));
    TRY(source_limits_new(&p->sources));
    TRY(locks_new(p));
    TRY(follow_start(p));
    principals_follow(p); /* the first reading, when the database is there */
    *out = p;
    p = NULL;
out:
    parts_free(p);
    return e;
}

void principals_close(struct principals *p)
{
    if (p != NULL) {
        follow_stop(p);
        parts_free(p);
    }
}
