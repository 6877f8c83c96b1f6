/* The service provider's certificates (docs/protocol.md "parties and keys") and the symmetric key
 * files. The root key is needed here and nowhere else: keep DIR offline. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "admin_api/ctl.h"
#include "base/clock.h"
#include "base/pki.h"
#include "base/proc.h"

#define ROOT_DAYS 3650

static bool is_dns_name(const char *s)
{
    size_t n = strlen(s);

    return n >= 1 && n <= 100 && s[0] != '.' && s[0] != '-' &&
           strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789.-") == n;
}

static void path_in(char out[512], const char *dir, const char *name, const char *suffix)
{
    snprintf(out, 512, "%s/%s%s", dir, name, suffix);
}

static int say_error(enum err e, const char *what)
{
    return e == E_OK
               ? CTL_OK
               : ctl_fail(e == E_EXISTS ? CTL_REFUSED : CTL_BROKEN, "%s: %s", what, err_text(e));
}

int ctl_pki_init(struct ctl *c, struct ctl_args *a)
{
    const char *name = ctl_option(a, "--name");
    char key_path[512], cert_path[512];
    struct p256_key key = {.d.n = 0};
    struct pki_subject s = {.common_name = name != NULL ? name : "Service Provider Root",
                            .not_before_us = clock_wall_us(clock_system()),
                            .days = ROOT_DAYS};
    int rc = CTL_OK;

    if (a->n != 1) {
        return ctl_fail(CTL_USAGE, "usage: headgatectl pki init DIR [--name NAME]");
    }
    mkdir(a->v[0], 0700);
    path_in(key_path, a->v[0], "root", ".key");
    path_in(cert_path, a->v[0], "root", ".pem");
    rc = say_error(p256_generate(&key), "key");
    if (rc == CTL_OK) {
        rc = say_error(pki_key_save(key_path, &key), key_path);
    }
    if (rc == CTL_OK) {
        rc = say_error(pki_make_root(&s, &key, cert_path), cert_path);
    }
    if (rc == CTL_OK) {
        ctl_say(c, (const char *const[]){"certificate", cert_path, "key", key_path, NULL});
    }
    secret_wipe(&key.d);
    return rc;
}

/* numbers NULL: a certificate of that role; else one that signs PASSporTs for them. */
static int issue(struct ctl *c, const char *dir, const char *name, unsigned days,
                 enum pki_role role, const struct stir_tn *numbers)
{
    char root_key[512], root_cert[512], key_path[512], cert_path[512];
    struct p256_key ca = {.d.n = 0}, key = {.d.n = 0};
    struct pki_subject s = {.common_name = name,
                            .dns_name = name,
                            .days = days,
                            .not_before_us = clock_wall_us(clock_system())};
    int rc = CTL_OK;

    path_in(root_key, dir, "root", ".key");
    path_in(root_cert, dir, "root", ".pem");
    path_in(key_path, dir, name, ".key");
    path_in(cert_path, dir, name, ".pem");
    rc = say_error(pki_key_load(root_key, &ca), root_key);
    if (rc == CTL_OK) {
        rc = say_error(p256_generate(&key), "key");
    }
    if (rc == CTL_OK) {
        rc = say_error(pki_key_save(key_path, &key), key_path);
    }
    if (rc == CTL_OK) {
        enum err e = numbers ? pki_issue_stir(root_cert, &ca, &s, numbers, key.pub, cert_path)
                             : pki_issue(root_cert, &ca, &s, role, key.pub, cert_path);
        rc = say_error(e, cert_path);
    }
    if (rc == CTL_OK) {
        ctl_say(c, (const char *const[]){"certificate", cert_path, "key", key_path, NULL});
    }
    secret_wipe(&ca.d);
    secret_wipe(&key.d);
    return rc;
}

static int issue_command(struct ctl *c, struct ctl_args *a, enum pki_role role,
                         const struct stir_tn *numbers)
{
    const char *days_text = ctl_option(a, "--days");
    uint64_t days = 7;

    if (a->n != 2) {
        return ctl_fail(CTL_USAGE, "usage: headgatectl pki ps|gc|stir DIR NAME [--days N]");
    }
    if (!is_dns_name(a->v[1])) {
        return ctl_fail(CTL_USAGE, "NAME is a lower-case DNS name, not '%s'", a->v[1]);
    }
    if (days_text != NULL && (view_to_u64(view_of(days_text), 825, &days) != E_OK || days == 0)) {
        return ctl_fail(CTL_USAGE, "--days is 1 to 825");
    }
    return issue(c, a->v[0], a->v[1], (unsigned)days, role, numbers);
}

int ctl_pki_ps(struct ctl *c, struct ctl_args *a)
{
    return issue_command(c, a, PKI_PS, NULL);
}

int ctl_pki_gc(struct ctl *c, struct ctl_args *a)
{
    return issue_command(c, a, PKI_GC, NULL);
}

int ctl_pki_stir(struct ctl *c, struct ctl_args *a)
{
    const char *spc = ctl_option(a, "--spc"), *tn = ctl_option(a, "--tn");
    const char *count = ctl_option(a, "--count");
    struct stir_tn n = {.kind = spc != NULL ? STIR_SPC : count != NULL ? STIR_RANGE : STIR_ONE};
    uint8_t der[64];

    if ((spc != NULL) == (tn != NULL) || (spc != NULL && count != NULL)) {
        return ctl_fail(CTL_USAGE, "either --spc CODE, or --tn NUMBER with or without --count N");
    }
    if (tn != NULL && tn[0] == '+') {
        tn++; /* RFC 8226 has the digits alone */
    }
    if (view_to_cstr(view_of(spc != NULL ? spc : tn), n.text, sizeof n.text) != E_OK ||
        (count != NULL && view_to_u64(view_of(count), UINT64_MAX, &n.count) != E_OK) ||
        stir_tn_write(&n, der) == 0) {
        return ctl_fail(CTL_USAGE, "a CODE is 1 to 31 letters and digits; a NUMBER has at most 15 "
                                   "digits, and as many at the end of --count, 2 or more");
    }
    return issue_command(c, a, PKI_GC, &n);
}

int ctl_key_new(struct ctl *c, struct ctl_args *a)
{
    struct secret key = {.n = 0};
    struct stat st;
    int rc = CTL_OK;

    (void)c;
    if (a->n != 1) {
        return ctl_fail(CTL_USAGE, "usage: headgatectl key new FILE");
    }
    if (lstat(a->v[0], &st) == 0) {
        return ctl_fail(CTL_REFUSED, "%s exists; a key in use is never overwritten", a->v[0]);
    }
    rc = say_error(secret_random(&key, 32), "randomness");
    if (rc == CTL_OK) {
        rc = say_error(proc_write_file(a->v[0], 0600, key.b, key.n), a->v[0]);
    }
    secret_wipe(&key);
    return rc;
}

int ctl_key_pair(struct ctl *c, struct ctl_args *a)
{
    struct p256_key key = {.d.n = 0};
    char pub[512];
    int rc = CTL_OK, n = 0;

    if (a->n != 1) {
        return ctl_fail(CTL_USAGE, "usage: headgatectl key pair FILE");
    }
    n = snprintf(pub, sizeof pub, "%s.pub", a->v[0]);
    if (n < 0 || (size_t)n >= sizeof pub) {
        return ctl_fail(CTL_USAGE, "FILE: the name is too long");
    }
    rc = say_error(p256_generate(&key), "key");
    if (rc == CTL_OK) {
        rc = say_error(pki_key_save(a->v[0], &key), a->v[0]);
    }
    if (rc == CTL_OK) {
        rc = say_error(pki_public_save(pub, key.pub), pub);
    }
    if (rc == CTL_OK) {
        ctl_say(c, (const char *const[]){"key", a->v[0], "public", pub, NULL});
    }
    secret_wipe(&key.d);
    return rc;
}
