/* Files and texts that decide what a daemon does. The first octet picks: 0 a snapshot file as it
 * is, 1 the same with its hash put right, 2 a session blob, 3 the fields of one that is sealed
 * well, 4 a BTI-MAC header value, 5 a configuration, 6 a PEM file of roots. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "authz/session_blob.h"
#include "base/conf.h"
#include "base/mem.h"
#include "base/pki.h"
#include "routing/snapshot.h"

/* The octets as a file that can be opened by its name. */
static int file_of(struct view v, char *path, size_t max)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    BUG_ON(fd < 0 || (v.n > 0 && write(fd, v.p, v.n) != (ssize_t)v.n));
    snprintf(path, max, "/proc/self/fd/%d", fd);
    return fd;
}

static int temp_of(struct view v, const char **out_path)
{
    static char path[64];
    int fd = -1;

    if (path[0] == 0) { /* one name for the life of the process */
        snprintf(path, sizeof path, "/tmp/fuzz_snapshot.%ld", (long)getpid());
    }
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    BUG_ON(fd < 0 || (v.n > 0 && write(fd, v.p, v.n) != (ssize_t)v.n));
    *out_path = path;
    return fd;
}

/* What a row names is there, and is found by its name. */
static void look_at_trunks(const struct snapshot *s, const struct snapshot_input *in)
{
    const struct dial_rule *rules[8];

    for (size_t i = 0; i < in->n_trunks; i++) {
        const struct trunk *t = snapshot_trunk_at(s, i);
        BUG_ON(snapshot_trunk(s, t->trunk_id) != t || snapshot_trunk_of_name(s, t->name) != t);
    }
    for (size_t i = 0; i < in->n_routes; i++) {
        uint64_t trunk = snapshot_route_at(s, i)->trunk_id;
        BUG_ON(trunk != 0 && snapshot_trunk(s, trunk) == NULL);
    }
    for (size_t i = 0; i < in->n_rules; i++) {
        BUG_ON(snapshot_rules(s, in->rules[i].prefix, rules, 8) == 0);
    }
    for (size_t i = 0; i < in->n_credentials; i++) {
        const struct credential *c = &in->credentials[i];
        BUG_ON(snapshot_credential(s, c->username, c->algorithm) == NULL);
    }
}

static void look_around(const struct snapshot *s)
{
    struct snapshot_input in;
    const struct route *r[8];

    snapshot_parts(s, &in);
    BUG_ON(in.n_lines != snapshot_lines(s));
    for (size_t i = 0; i < in.n_lines; i++) {
        BUG_ON(snapshot_line(s, in.lines[i].line_id) == NULL);
        BUG_ON(snapshot_line_at(s, i)->display.n > SNAPSHOT_NAME_MAX);
    }
    for (size_t i = 0; i < in.n_numbers; i++) {
        const struct line *l = snapshot_line_of_number(s, in.numbers[i].number);
        BUG_ON(l == NULL || !snapshot_owns_number(s, l->line_id, in.numbers[i].number));
    }
    for (size_t i = 0; i < in.n_btis; i++) {
        BUG_ON(snapshot_bti(s, in.btis[i].bti_id) == NULL);
    }
    for (size_t i = 0; i < in.n_routes; i++) {
        BUG_ON(snapshot_routes(s, in.routes[i].kind, in.routes[i].prefix, r, 8) == 0);
        BUG_ON(snapshot_route_at(s, i) == NULL);
    }
    BUG_ON(snapshot_all_routes(s) != in.n_routes || snapshot_trunks(s) != in.n_trunks);
    look_at_trunks(s, &in);
}

static void snapshot_file(struct view v)
{
    struct snapshot *s = NULL;
    const char *path = NULL;
    size_t live = mem_live();
    int fd = temp_of(v, &path);
    enum err e = snapshot_load(path, &s);

    BUG_ON(e != E_OK && e != E_PARSE);
    if (e == E_OK) {
        look_around(s);
        snapshot_free(s);
    }
    close(fd);
    unlink(path);
    BUG_ON(mem_live() != live);
}

static void snapshot_hashed(struct view v)
{
    static uint8_t whole[16384 + SHA256_BYTES];

    v = view_sub(v, 0, 16384);
    if (v.n > 0) {
        memcpy(whole, v.p, v.n);
    }
    BUG_ON(sha256(v, whole + v.n) != E_OK);
    snapshot_file(view_from(whole, v.n + SHA256_BYTES));
}

static const struct secret *cluster(void)
{
    static const struct secret k = {.b = {1, 2, 3}, .n = 32};

    return &k;
}

static void blob(struct view v)
{
    struct session_record r;
    const uint8_t kid[BTI_KID_BYTES] = {7};

    BUG_ON(session_blob_open(cluster(), kid, v, &r) == E_OK);
}

/* Sealed by somebody who has the cluster key: what opens must be whole. */
static void blob_fields(struct view v)
{
    static const char label[] = "headgate session v1";
    uint8_t aad[sizeof label - 1 + BTI_KID_BYTES] = {0}, b[1 + GCM_NONCE_BYTES + 600] = {1};
    const uint8_t kid[BTI_KID_BYTES] = {7};
    struct session_record r;

    v = view_sub(v, 0, 500);
    memcpy(aad, label, sizeof label - 1);
    memcpy(aad + sizeof label - 1, kid, sizeof kid);
    BUG_ON(gcm_seal(cluster(), b + 1, view_from(aad, sizeof aad), v, b + 1 + GCM_NONCE_BYTES) !=
           E_OK);
    if (session_blob_open(cluster(), kid, view_from(b, 1 + GCM_NONCE_BYTES + v.n + GCM_TAG_BYTES),
                          &r) == E_OK) {
        BUG_ON(memcmp(r.kid, kid, sizeof kid) != 0 || r.keys.mac_up.n != 32 ||
               r.keys.digest.n != 32);
        session_record_wipe(&r);
    }
}

static void mac_value(struct view v)
{
    struct bti_mac m;
    char again[BTI_MAC_VALUE_MAX];

    (void)bti_mac_is(v);
    for (int with = 0; with < 2; with++) {
        if (bti_mac_parse(v, with, &m) == E_OK) { /* one spelling only: writing gives the same */
            BUG_ON(m.digits.p < v.p || m.digits.p + m.digits.n != v.p + v.n);
            size_t n = bti_mac_format(with, m.kid, m.seq, again);
            BUG_ON(n != v.n || memcmp(again, v.p, n - BTI_MAC_DIGITS) != 0);
        }
    }
}

struct settings {
    const char *text, *path;
    uint64_t number, wait;
    bool on;
    struct conf_list list;
};
#define AT(member) offsetof(struct settings, member)

static const struct conf_field FIELDS[] = {
    {"a.text", CONF_TEXT, AT(text), "x", 0, 0, "a text"},
    {"a.path", CONF_PATH, AT(path), "p", 0, 0, "a path"},
    {"a.number", CONF_UINT, AT(number), "5", 2, 9, "a number"},
    {"b.wait", CONF_MS, AT(wait), "3s", 10, 86400000, "a duration"},
    {"b.on", CONF_BOOL, AT(on), "no", 0, 0, "a switch"},
    {"b.list", CONF_LIST, AT(list), "x", 1, 4, "texts"},
};
#define FIELDS_N (sizeof FIELDS / sizeof *FIELDS)

static enum err load(struct view v, struct settings *s, struct conf **c)
{
    char path[64], why[256] = "";
    int fd = file_of(v, path, sizeof path);
    enum err e = conf_load(path, FIELDS, FIELDS_N, s, why, sizeof why, c);

    BUG_ON((e == E_OK) != (why[0] == 0));
    close(fd);
    return e;
}

static void configuration(struct view v)
{
    struct settings s = {0}, t = {0};
    struct conf *c = NULL, *d = NULL;
    char *text = NULL;
    size_t n = 0, live = mem_live();

    if (memmem(v.p, v.n, "${file:", 7) != NULL) {
        return; /* what stands on this machine is no part of the input */
    }
    if (load(v, &s, &c) == E_OK) { /* what is printed reads back as the same */
        FILE *f = open_memstream(&text, &n);
        BUG_ON(f == NULL || s.number < 2 || s.number > 9 || s.wait < 10 || s.list.n == 0 ||
               s.list.n > 4);
        conf_print(c, f);
        fclose(f);
        BUG_ON(load(view_from(text, n), &t, &d) != E_OK);
        BUG_ON(strcmp(s.text, t.text) != 0 || s.number != t.number || s.wait != t.wait ||
               s.on != t.on || s.list.n != t.list.n);
        for (size_t i = 0; i < s.list.n; i++) {
            BUG_ON(strcmp(s.list.v[i], t.list.v[i]) != 0);
        }
        free(text);
    }
    conf_free(c);
    conf_free(d);
    BUG_ON(mem_live() != live);
}

static void roots(struct view v)
{
    struct pki_root *r = NULL;

    if (pki_root_parse(v, &r) == E_OK) {
        uint8_t pub[P256_POINT_BYTES];
        char why[PKI_WHY_MAX];
        BUG_ON(pki_verify(r, &v, 1, PKI_PS, NULL, 1700000000000000u, pub, why) != E_AUTH);
        pki_root_free(r);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const targets[])(struct view) = {
        snapshot_file, snapshot_hashed, blob, blob_fields, mac_value, configuration, roots,
    };

    if (size > 0) {
        targets[data[0] % (sizeof targets / sizeof *targets)](view_from(data + 1, size - 1));
    }
    return 0;
}
