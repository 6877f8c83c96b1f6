/* The snapshot's file. All integers big-endian, texts as a length of two octets and that many
 * octets:
 *
 *   "HGSNAP" version(2) change_seq(8) lines(4) numbers(4) btis(4) trunks(4) routes(4) rules(4)
 *            credentials(4) modes(4)
 *   line:   line_id(8) account_id(8) barred(1) level(1) number display services(1) no_answer_s(2)
 *           forward_always forward_busy forward_no_answer priority
 *   number: line_id(8) number
 *   bti:    bti_id(16) line_id(8) revoked(1)
 *   trunk:  trunk_id(8) name host port(2) proto(1) auth(1) tls_name sources trusts_identity(1)
 *           sends_identity(1) may_transit(1) disabled(1) form(1) strip(1) add default_number
 *           max_channels(4) max_cps(4) ping_s(4) auth_user auth_sealed stir_sign(1) stir_verify(1)
 *           priority is_operator(1)
 *   route:  route_id(8) kind(1: 0 next hop, 1 emergency) priority(4) prefix next_hop name
 *           trunk_id(8) weight(4) max_channels(4) days(1) from_min(2) to_min(2)
 *           utc_offset_min + 32768 (2)
 *   rule:   prefix min_digits(1) max_digits(1) rank(4) strip(1) add is_feature(1) blocked(1) name
 *   credential: credential_id(8) line_id(8) username algorithm(1) ha1_sealed disabled(1)
 *   mode:   id(8) declared_us(8) ends_us(8) scope(1: 0 all, 1 region, 2 trunks) share(1) prefixes
 *           trunks exempt_lines exempt_trunks declared_by reason
 *   SHA-256 over everything before it (32)
 *
 * The hash finds damage. It proves no origin, so that what it covers is checked like any input. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/mem.h"
#include "routing/snapshot.h"

#define MAGIC       "HGSNAP"
#define VERSION     4
#define HEAD_BYTES  (6 + 2 + 8 + 8 * 4)
#define FILE_MAX    (4ull << 30)
#define PATH_BYTES  4096
#define OFFSET_BIAS 32768

/* What a row takes at least: bounds the counts before anything is allocated for them. */
#define LINE_MIN       33u
#define NUMBER_MIN     10u
#define BTI_BYTES      25u
#define TRUNK_MIN      51u
#define ROUTE_MIN      42u
#define RULE_MIN       15u
#define CREDENTIAL_MIN 22u
#define MODE_MIN       38u

/* ---- writing ---- */

struct writer {
    struct sha256_ctx *hash;
    enum err e; /* the first failure; nothing is written after it */
    int fd;
    size_t n;
    uint8_t buf[65536];
};

static enum err write_all(int fd, const uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t put = write(fd, p, n);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return FAIL(E_IO);
        }
        p += put;
        n -= (size_t)put;
    }
    return E_OK;
}

static void flush(struct writer *w)
{
    if (w->e == E_OK) {
        w->e = sha256_add(w->hash, view_from(w->buf, w->n));
    }
    if (w->e == E_OK) {
        w->e = write_all(w->fd, w->buf, w->n);
    }
    w->n = 0;
}

static void put(struct writer *w, const void *p, size_t n)
{
    if (n > sizeof w->buf - w->n) {
        flush(w);
    }
    BUG_ON(n > sizeof w->buf - w->n);
    if (n > 0) {
        memcpy(w->buf + w->n, p, n);
    }
    w->n += n;
}

static void put_uint(struct writer *w, size_t octets, uint64_t v)
{
    uint8_t b[8];
    for (size_t i = 0; i < octets; i++) {
        b[i] = (uint8_t)(v >> (8 * (octets - 1 - i)));
    }
    put(w, b, octets);
}

static void put_text(struct writer *w, struct view v)
{
    BUG_ON(v.n > 65535);
    put_uint(w, 2, v.n);
    put(w, v.p, v.n);
}

static void put_trunk(struct writer *w, const struct trunk *t)
{
    put_uint(w, 8, t->trunk_id);
    put_text(w, t->name);
    put_text(w, t->host);
    put_uint(w, 2, t->port);
    put_uint(w, 1, t->proto);
    put_uint(w, 1, t->auth);
    put_text(w, t->tls_name);
    put_text(w, t->sources);
    put_uint(w, 1, t->trusts_identity);
    put_uint(w, 1, t->sends_identity);
    put_uint(w, 1, t->may_transit);
    put_uint(w, 1, t->disabled);
    put_uint(w, 1, t->form);
    put_uint(w, 1, t->strip);
    put_text(w, t->add);
    put_text(w, t->default_number);
    put_uint(w, 4, t->max_channels);
    put_uint(w, 4, t->max_cps);
    put_uint(w, 4, t->ping_s);
    put_text(w, t->auth_user);
    put_text(w, t->auth_sealed);
    put_uint(w, 1, t->stir_sign);
    put_uint(w, 1, t->stir_verify);
    put_text(w, t->priority);
    put_uint(w, 1, t->is_operator);
}

static void put_route(struct writer *w, const struct route *r)
{
    put_uint(w, 8, r->route_id);
    put_uint(w, 1, r->kind == ROUTE_EMERGENCY);
    put_uint(w, 4, r->priority);
    put_text(w, r->prefix);
    put_text(w, r->next_hop);
    put_text(w, r->name);
    put_uint(w, 8, r->trunk_id);
    put_uint(w, 4, r->weight);
    put_uint(w, 4, r->max_channels);
    put_uint(w, 1, r->when.days);
    put_uint(w, 2, r->when.from_min);
    put_uint(w, 2, r->when.to_min);
    put_uint(w, 2, (uint16_t)(r->when.utc_offset_min + OFFSET_BIAS));
}

static void put_rule(struct writer *w, const struct dial_rule *r)
{
    put_text(w, r->prefix);
    put_uint(w, 1, r->min_digits);
    put_uint(w, 1, r->max_digits);
    put_uint(w, 4, r->rank);
    put_uint(w, 1, r->strip);
    put_text(w, r->add);
    put_uint(w, 1, r->is_feature);
    put_uint(w, 1, r->blocked);
    put_text(w, r->name);
}

static void put_credential(struct writer *w, const struct credential *c)
{
    put_uint(w, 8, c->credential_id);
    put_uint(w, 8, c->line_id);
    put_text(w, c->username);
    put_uint(w, 1, c->algorithm);
    put_text(w, c->ha1_sealed);
    put_uint(w, 1, c->disabled);
}

static void put_mode(struct writer *w, const struct emergency_mode *m)
{
    put_uint(w, 8, m->mode_id);
    put_uint(w, 8, m->declared_us);
    put_uint(w, 8, m->ends_us);
    put_uint(w, 1, m->scope);
    put_uint(w, 1, m->share);
    put_text(w, m->prefixes);
    put_text(w, m->trunks);
    put_text(w, m->exempt_lines);
    put_text(w, m->exempt_trunks);
    put_text(w, m->declared_by);
    put_text(w, m->reason);
}

static void put_plan(struct writer *w, const struct snapshot_input *in)
{
    for (size_t i = 0; i < in->n_trunks; i++) {
        put_trunk(w, &in->trunks[i]);
    }
    for (size_t i = 0; i < in->n_routes; i++) {
        put_route(w, &in->routes[i]);
    }
    for (size_t i = 0; i < in->n_rules; i++) {
        put_rule(w, &in->rules[i]);
    }
    for (size_t i = 0; i < in->n_credentials; i++) {
        put_credential(w, &in->credentials[i]);
    }
    for (size_t i = 0; i < in->n_modes; i++) {
        put_mode(w, &in->modes[i]);
    }
}

static void put_line(struct writer *w, const struct line *l)
{
    put_uint(w, 8, l->line_id);
    put_uint(w, 8, l->account_id);
    put_uint(w, 1, l->barred);
    put_uint(w, 1, l->level);
    put_text(w, l->number);
    put_text(w, l->display);
    put_uint(w, 1, l->services);
    put_uint(w, 2, l->no_answer_s);
    for (size_t i = 0; i < FORWARDS; i++) {
        put_text(w, l->forward[i]);
    }
    put_text(w, l->priority);
}

static void put_rows(struct writer *w, const struct snapshot_input *in)
{
    put(w, MAGIC, sizeof MAGIC - 1);
    put_uint(w, 2, VERSION);
    put_uint(w, 8, in->change_seq);
    put_uint(w, 4, in->n_lines);
    put_uint(w, 4, in->n_numbers);
    put_uint(w, 4, in->n_btis);
    put_uint(w, 4, in->n_trunks);
    put_uint(w, 4, in->n_routes);
    put_uint(w, 4, in->n_rules);
    put_uint(w, 4, in->n_credentials);
    put_uint(w, 4, in->n_modes);
    for (size_t i = 0; i < in->n_lines; i++) {
        put_line(w, &in->lines[i]);
    }
    for (size_t i = 0; i < in->n_numbers; i++) {
        put_uint(w, 8, in->numbers[i].line_id);
        put_text(w, in->numbers[i].number);
    }
    for (size_t i = 0; i < in->n_btis; i++) {
        put(w, in->btis[i].bti_id, sizeof in->btis[i].bti_id);
        put_uint(w, 8, in->btis[i].line_id);
        put_uint(w, 1, in->btis[i].revoked);
    }
    put_plan(w, in);
}

static enum err write_file(int fd, const struct snapshot *s)
{
    enum err e = E_OK;
    uint8_t digest[SHA256_BYTES];
    struct snapshot_input in;
    struct writer *w = mem_zalloc(sizeof *w);
    if (!w) {
        return FAIL(E_NOMEM);
    }
    w->fd = fd;
    TRY(sha256_new(&w->hash));
    snapshot_parts(s, &in);
    put_rows(w, &in);
    flush(w);
    TRY(w->e);
    TRY(sha256_peek(w->hash, digest));
    TRY(write_all(fd, digest, sizeof digest));
    e = fsync(fd) == 0 ? E_OK : FAIL(E_IO);
out:
    sha256_free(w->hash);
    mem_free(w);
    return e;
}

/* Makes the rename itself last. A file system that cannot do it still has the old file or the new
 * one, and both are whole. */
static void sync_folder(const char *path)
{
    char folder[PATH_BYTES] = ".";
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    if (slash && n + 2 <= sizeof folder) {
        memcpy(folder, path, n ? n : 1);
        folder[n ? n : 1] = 0;
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
}

enum err snapshot_save(const struct snapshot *s, const char *path)
{
    char temp[PATH_BYTES];
    int n = snprintf(temp, sizeof temp, "%s.new.%ld", path, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof temp) {
        return FAIL(E_RANGE);
    }
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return FAIL(E_IO);
    }
    enum err e = fchmod(fd, 0600) == 0 ? write_file(fd, s) : FAIL(E_IO); /* names and numbers */
    if (close(fd) != 0 && e == E_OK) {
        e = FAIL(E_IO);
    }
    if (e == E_OK && rename(temp, path) != 0) {
        e = FAIL(E_IO);
    }
    if (e != E_OK) {
        unlink(temp);
        return e;
    }
    sync_folder(path);
    return E_OK;
}

/* ---- reading ---- */

struct reader {
    const uint8_t *at, *end;
    bool bad; /* something was short or no value of ours; everything read since is zero */
};

static const uint8_t *take(struct reader *r, size_t n)
{
    if (r->bad || n > (size_t)(r->end - r->at)) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *p = r->at;
    r->at += n;
    return p;
}

static uint64_t take_uint(struct reader *r, size_t octets)
{
    uint64_t v = 0;
    const uint8_t *p = take(r, octets);
    for (size_t i = 0; p && i < octets; i++) {
        v = v << 8 | p[i];
    }
    return v;
}

static bool take_bool(struct reader *r)
{
    uint64_t v = take_uint(r, 1);
    if (v > 1) {
        r->bad = true;
    }
    return v == 1;
}

static struct view take_text(struct reader *r)
{
    size_t n = (size_t)take_uint(r, 2);
    const uint8_t *p = take(r, n);
    return p ? view_from(p, n) : VIEW("");
}

struct arrays {
    struct line *lines;
    struct number_row *numbers;
    struct bti_row *btis;
    struct trunk *trunks;
    struct route *routes;
    struct dial_rule *rules;
    struct credential *credentials;
    struct emergency_mode *modes;
};

static void *rows(size_t n, size_t size)
{
    return mem_zalloc_array(n ? n : 1, size);
}

static enum err read_head(struct reader *r, struct snapshot_input *in, struct arrays *a)
{
    const uint8_t *magic = take(r, sizeof MAGIC - 1);
    bool ours = magic && memcmp(magic, MAGIC, sizeof MAGIC - 1) == 0;
    if (take_uint(r, 2) != VERSION || !ours) {
        return FAIL(E_PARSE);
    }
    in->change_seq = take_uint(r, 8);
    in->n_lines = take_uint(r, 4);
    in->n_numbers = take_uint(r, 4);
    in->n_btis = take_uint(r, 4);
    in->n_trunks = take_uint(r, 4);
    in->n_routes = take_uint(r, 4);
    in->n_rules = take_uint(r, 4);
    in->n_credentials = take_uint(r, 4);
    in->n_modes = take_uint(r, 4);
    uint64_t least = (uint64_t)in->n_lines * LINE_MIN + (uint64_t)in->n_numbers * NUMBER_MIN +
                     (uint64_t)in->n_btis * BTI_BYTES + (uint64_t)in->n_trunks * TRUNK_MIN +
                     (uint64_t)in->n_routes * ROUTE_MIN + (uint64_t)in->n_rules * RULE_MIN +
                     (uint64_t)in->n_credentials * CREDENTIAL_MIN +
                     (uint64_t)in->n_modes * MODE_MIN;
    if (r->bad || least > (uint64_t)(r->end - r->at)) {
        return FAIL(E_PARSE);
    }
    in->lines = a->lines = rows(in->n_lines, sizeof *a->lines);
    in->numbers = a->numbers = rows(in->n_numbers, sizeof *a->numbers);
    in->btis = a->btis = rows(in->n_btis, sizeof *a->btis);
    in->trunks = a->trunks = rows(in->n_trunks, sizeof *a->trunks);
    in->routes = a->routes = rows(in->n_routes, sizeof *a->routes);
    in->rules = a->rules = rows(in->n_rules, sizeof *a->rules);
    in->credentials = a->credentials = rows(in->n_credentials, sizeof *a->credentials);
    in->modes = a->modes = rows(in->n_modes, sizeof *a->modes);
    return a->lines && a->numbers && a->btis && a->trunks && a->routes && a->rules &&
                   a->credentials && a->modes
               ? E_OK
               : FAIL(E_NOMEM);
}

static void take_trunk(struct reader *r, struct trunk *t)
{
    t->trunk_id = take_uint(r, 8);
    t->name = take_text(r);
    t->host = take_text(r);
    t->port = (uint16_t)take_uint(r, 2);
    t->proto = (uint8_t)take_uint(r, 1);
    t->auth = (enum trunk_auth)take_uint(r, 1);
    t->tls_name = take_text(r);
    t->sources = take_text(r);
    t->trusts_identity = take_bool(r);
    t->sends_identity = take_bool(r);
    t->may_transit = take_bool(r);
    t->disabled = take_bool(r);
    t->form = (enum number_form)take_uint(r, 1);
    t->strip = (uint32_t)take_uint(r, 1);
    t->add = take_text(r);
    t->default_number = take_text(r);
    t->max_channels = (uint32_t)take_uint(r, 4);
    t->max_cps = (uint32_t)take_uint(r, 4);
    t->ping_s = (uint32_t)take_uint(r, 4);
    t->auth_user = take_text(r);
    t->auth_sealed = take_text(r);
    t->stir_sign = take_bool(r);
    t->stir_verify = (uint8_t)take_uint(r, 1);
    t->priority = take_text(r);
    t->is_operator = take_bool(r);
}

static void take_route(struct reader *r, struct route *to)
{
    to->route_id = take_uint(r, 8);
    to->kind = take_bool(r) ? ROUTE_EMERGENCY : ROUTE_NEXT_HOP;
    to->priority = (uint32_t)take_uint(r, 4);
    to->prefix = take_text(r);
    to->next_hop = take_text(r);
    to->name = take_text(r);
    to->trunk_id = take_uint(r, 8);
    to->weight = (uint32_t)take_uint(r, 4);
    to->max_channels = (uint32_t)take_uint(r, 4);
    to->when.days = (uint8_t)take_uint(r, 1);
    to->when.from_min = (uint16_t)take_uint(r, 2);
    to->when.to_min = (uint16_t)take_uint(r, 2);
    to->when.utc_offset_min = (int16_t)((int)take_uint(r, 2) - OFFSET_BIAS);
}

static void take_rule(struct reader *r, struct dial_rule *to)
{
    to->prefix = take_text(r);
    to->min_digits = (uint8_t)take_uint(r, 1);
    to->max_digits = (uint8_t)take_uint(r, 1);
    to->rank = (uint32_t)take_uint(r, 4);
    to->strip = (uint32_t)take_uint(r, 1);
    to->add = take_text(r);
    to->is_feature = take_bool(r);
    to->blocked = take_bool(r);
    to->name = take_text(r);
}

static void take_credential(struct reader *r, struct credential *c)
{
    c->credential_id = take_uint(r, 8);
    c->line_id = take_uint(r, 8);
    c->username = take_text(r);
    c->algorithm = take_bool(r) ? DIGEST_MD5 : DIGEST_SHA256;
    c->ha1_sealed = take_text(r);
    c->disabled = take_bool(r);
}

static void take_mode(struct reader *r, struct emergency_mode *m)
{
    m->mode_id = take_uint(r, 8);
    m->declared_us = take_uint(r, 8);
    m->ends_us = take_uint(r, 8);
    m->scope = (enum mode_scope)take_uint(r, 1);
    m->share = (uint8_t)take_uint(r, 1);
    m->prefixes = take_text(r);
    m->trunks = take_text(r);
    m->exempt_lines = take_text(r);
    m->exempt_trunks = take_text(r);
    m->declared_by = take_text(r);
    m->reason = take_text(r);
}

static void read_plan(struct reader *r, const struct snapshot_input *in, struct arrays *a)
{
    for (size_t i = 0; i < in->n_trunks && !r->bad; i++) {
        take_trunk(r, &a->trunks[i]);
    }
    for (size_t i = 0; i < in->n_routes && !r->bad; i++) {
        take_route(r, &a->routes[i]);
    }
    for (size_t i = 0; i < in->n_rules && !r->bad; i++) {
        take_rule(r, &a->rules[i]);
    }
    for (size_t i = 0; i < in->n_credentials && !r->bad; i++) {
        take_credential(r, &a->credentials[i]);
    }
    for (size_t i = 0; i < in->n_modes && !r->bad; i++) {
        take_mode(r, &a->modes[i]);
    }
}

static void take_line(struct reader *r, struct line *l)
{
    l->line_id = take_uint(r, 8);
    l->account_id = take_uint(r, 8);
    l->barred = take_bool(r);
    l->level = (uint8_t)take_uint(r, 1);
    l->number = take_text(r);
    l->display = take_text(r);
    l->services = (uint32_t)take_uint(r, 1);
    l->no_answer_s = (uint16_t)take_uint(r, 2);
    for (size_t i = 0; i < FORWARDS; i++) {
        l->forward[i] = take_text(r);
    }
    l->priority = take_text(r);
}

static enum err read_rows(struct reader *r, const struct snapshot_input *in, struct arrays *a)
{
    for (size_t i = 0; i < in->n_lines && !r->bad; i++) {
        take_line(r, &a->lines[i]);
    }
    for (size_t i = 0; i < in->n_numbers && !r->bad; i++) {
        a->numbers[i].line_id = take_uint(r, 8);
        a->numbers[i].number = take_text(r);
    }
    for (size_t i = 0; i < in->n_btis && !r->bad; i++) {
        const uint8_t *id = take(r, sizeof a->btis[i].bti_id);
        if (id) {
            memcpy(a->btis[i].bti_id, id, sizeof a->btis[i].bti_id);
        }
        a->btis[i].line_id = take_uint(r, 8);
        a->btis[i].revoked = take_bool(r);
    }
    read_plan(r, in, a);
    return r->bad || r->at != r->end ? FAIL(E_PARSE) : E_OK;
}

static enum err decode(struct view file, struct snapshot **out)
{
    enum err e = E_OK;
    struct arrays a = {0};
    struct snapshot_input in = {0};
    uint8_t digest[SHA256_BYTES];
    if (file.n < HEAD_BYTES + SHA256_BYTES) {
        return FAIL(E_PARSE);
    }
    struct view body = view_sub(file, 0, file.n - SHA256_BYTES);
    struct reader r = {(const uint8_t *)body.p, (const uint8_t *)body.p + body.n, false};
    TRY(sha256(body, digest));
    if (memcmp(digest, body.p + body.n, sizeof digest) != 0) {
        TRY(FAIL(E_PARSE));
    }
    TRY(read_head(&r, &in, &a));
    TRY(read_rows(&r, &in, &a));
    e = snapshot_build(&in, out, NULL, 0);
    if (e == E_EXISTS) {
        e = FAIL(E_PARSE);
    }
out:
    mem_free(a.lines);
    mem_free(a.numbers);
    mem_free(a.btis);
    mem_free(a.trunks);
    mem_free(a.routes);
    mem_free(a.rules);
    mem_free(a.credentials);
    mem_free(a.modes);
    return e;
}

static enum err read_all(int fd, uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t got = read(fd, p, n);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) { /* 0: it became shorter while we read */
            return FAIL(got < 0 ? E_IO : E_PARSE);
        }
        p += got;
        n -= (size_t)got;
    }
    return E_OK;
}

enum err snapshot_load(const char *path, struct snapshot **out)
{
    enum err e = E_OK;
    struct stat st;
    uint8_t *file = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        return FAIL(errno == ENOENT ? E_NOTFOUND : E_IO);
    }
    if (fstat(fd, &st) != 0) {
        TRY(FAIL(E_IO));
    }
    if (!S_ISREG(st.st_mode) || st.st_size <= 0 || (uint64_t)st.st_size > FILE_MAX) {
        TRY(FAIL(E_PARSE));
    }
    file = mem_zalloc((size_t)st.st_size);
    if (!file) {
        TRY(FAIL(E_NOMEM));
    }
    TRY(read_all(fd, file, (size_t)st.st_size));
    TRY(decode(view_from(file, (size_t)st.st_size), out));
out:
    mem_free(file);
    close(fd);
    return e;
}
