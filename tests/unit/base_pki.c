/* Certificates as headgatectl issues them: who is believed, and with what reason not; the files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/mem.h"
#include "base/pki.h"

#define NOW 1700000000000000ull
#define DAY 86400000000ull

static char dir[64];
static struct {
    struct p256_key ca, other_ca, ps, gc;
    struct pki_root *root, *other;
    struct pki_chain ps_chain, gc_chain;
} t;

static const char *at(const char *name)
{
    static char path[4][96];
    static unsigned turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static void put(const char *name, const char *text, size_t n)
{
    FILE *f = fopen(at(name), "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static size_t get(const char *name, char *dst, size_t max)
{
    FILE *f = fopen(at(name), "r");
    assert_non_null(f);
    size_t n = fread(dst, 1, max - 1, f);
    dst[n] = 0;
    fclose(f);
    return n;
}

static int setup(void **state)
{
    (void)state;
    struct pki_subject ca = {"root", NULL, NOW - DAY, 100};
    struct pki_subject ps = {"ps", "ps.example", NOW - DAY, 10};
    struct pki_subject gc = {"gc", "gc.example", NOW - DAY, 10};
    strcpy(dir, "/tmp/pkiXXXXXX");
    assert_non_null(mkdtemp(dir));
    assert_int_equal(p256_generate(&t.ca), E_OK);
    assert_int_equal(p256_generate(&t.other_ca), E_OK);
    assert_int_equal(p256_generate(&t.ps), E_OK);
    assert_int_equal(p256_generate(&t.gc), E_OK);
    assert_int_equal(pki_make_root(&ca, &t.ca, at("root")), E_OK);
    assert_int_equal(pki_make_root(&ca, &t.other_ca, at("other")), E_OK);
    assert_int_equal(pki_issue(at("root"), &t.ca, &ps, PKI_PS, t.ps.pub, at("ps")), E_OK);
    assert_int_equal(pki_issue(at("root"), &t.ca, &gc, PKI_GC, t.gc.pub, at("gc")), E_OK);
    assert_int_equal(pki_root_load(at("root"), &t.root), E_OK);
    assert_int_equal(pki_root_load(at("other"), &t.other), E_OK);
    assert_int_equal(pki_chain_load(at("ps"), &t.ps_chain), E_OK);
    assert_int_equal(pki_chain_load(at("gc"), &t.gc_chain), E_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pki_root_free(t.root);
    pki_root_free(t.other);
    pki_root_free(NULL);
    static const char *const names[] = {"root", "other", "ps", "gc", "x", "key", "link"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        unlink(at(names[i]));
    }
    return rmdir(dir);
}

static void who_is_believed(void **state)
{
    (void)state;
    const struct pki_chain *ps = &t.ps_chain, *gc = &t.gc_chain;
    const struct {
        const struct pki_chain *chain;
        const char *name;
        enum pki_role role;
        uint64_t now;
        bool other_root;
        const char *why; /* NULL: believed */
    } rows[] = {
        {ps, "ps.example", PKI_PS, NOW, false, NULL},
        {ps, "PS.Example", PKI_PS, NOW, false, NULL},
        {ps, NULL, PKI_PS, NOW, false, NULL},
        {gc, "gc.example", PKI_GC, NOW, false, NULL},
        {ps, NULL, PKI_PS, NOW - DAY, false,
         NULL}, /* the first second, and the one before the last */
        {ps, NULL, PKI_PS, NOW + 9 * DAY - 1000000, false, NULL},
        {ps, NULL, PKI_PS, NOW - DAY - 1000000, false, "not yet valid"},
        {ps, NULL, PKI_PS, NOW + 9 * DAY + 1000000, false, "expired"},
        {ps, NULL, PKI_PS, NOW + 200 * DAY, false, "expired"},
        {ps, NULL, PKI_PS, 0, false, "not yet valid"},
        {ps, "ps.example", PKI_GC, NOW, false, "wrong extended key usage"},
        {ps, "ps.example", PKI_CODE, NOW, false, "wrong extended key usage"},
        {gc, "gc.example", PKI_PS, NOW, false, "wrong extended key usage"},
        {ps, "gc.example", PKI_PS, NOW, false, "name mismatch"},
        {ps, "ps.example.", PKI_PS, NOW, false, "name mismatch"},
        {ps, "ps.exampl", PKI_PS, NOW, false, "name mismatch"},
        {ps, "*.example", PKI_PS, NOW, false, "name mismatch"},
        {ps, "", PKI_PS, NOW, false, "name mismatch"},
        {ps, "ps", PKI_PS, NOW, false, "name mismatch"}, /* the common name is no name */
        {ps, "ps.example", PKI_PS, NOW, true, "certificate"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t pub[P256_POINT_BYTES], unset[P256_POINT_BYTES];
        char why[PKI_WHY_MAX] = "unset";
        memset(pub, 0x5a, sizeof pub);
        memset(unset, 0x5a, sizeof unset);
        enum err e = pki_verify(rows[i].other_root ? t.other : t.root, rows[i].chain->der, 1,
                                rows[i].role, rows[i].name, rows[i].now, pub, why);
        const char *want = rows[i].why;
        if (e != (want ? E_AUTH : E_OK) || (want ? strstr(why, want) == NULL : why[0] != 0)) {
            fail_msg("row %zu: %s, %s", i, err_name(e), why);
        }
        assert_memory_equal(pub,
                            want                  ? unset
                            : rows[i].chain == ps ? t.ps.pub
                                                  : t.gc.pub,
                            sizeof pub);
    }
}

/* No octet of a certificate can change. Those of the signature, too. */
static void every_octet_matters(void **state)
{
    (void)state;
    static struct pki_chain c;
    uint8_t pub[P256_POINT_BYTES];
    char why[PKI_WHY_MAX];
    size_t n = t.ps_chain.der[0].n;
    for (size_t i = 0; i < n; i++) {
        c.buf[0] = 0;
        memcpy(c.buf, t.ps_chain.der[0].p, n);
        c.buf[i] ^= 0x01;
        c.der[0] = view_from(c.buf, n);
        assert_int_equal(pki_verify(t.root, c.der, 1, PKI_PS, NULL, NOW, pub, why), E_AUTH);
        assert_true(why[0] != 0);
    }
    for (size_t cut = 0; cut < n; cut += 7) {
        c.der[0] = view_from(t.ps_chain.der[0].p, cut);
        assert_int_equal(pki_verify(t.root, c.der, 1, PKI_PS, NULL, NOW, pub, why), E_AUTH);
    }
    memcpy(c.buf, t.ps_chain.der[0].p, n);
    c.buf[n] = 0;
    c.der[0] = view_from(c.buf, n + 1); /* one octet behind it */
    assert_int_equal(pki_verify(t.root, c.der, 1, PKI_PS, NULL, NOW, pub, why), E_AUTH);
    assert_int_equal(pki_verify(t.root, c.der, 0, PKI_PS, NULL, NOW, pub, why), E_AUTH);
    assert_string_equal(why, "no certificate");
    struct view many[6];
    for (size_t i = 0; i < 6; i++) {
        many[i] = t.ps_chain.der[0];
    }
    assert_int_equal(pki_verify(t.root, many, 5, PKI_PS, NULL, NOW, pub, why), E_OK);
    assert_int_equal(pki_verify(t.root, many, 6, PKI_PS, NULL, NOW, pub, why), E_AUTH);
}

/* A leaf is no issuer, and a root is no leaf. */
static void roles_of_certificates(void **state)
{
    (void)state;
    struct pki_subject s = {"evil", "ps.example", NOW - DAY, 5};
    static struct pki_chain c;
    struct view v[2];
    uint8_t pub[P256_POINT_BYTES];
    char why[PKI_WHY_MAX];
    assert_int_equal(pki_issue(at("ps"), &t.ps, &s, PKI_PS, t.gc.pub, at("x")), E_OK);
    assert_int_equal(pki_chain_load(at("x"), &c), E_OK);
    v[0] = c.der[0];
    v[1] = t.ps_chain.der[0];
    assert_int_equal(pki_verify(t.root, v, 2, PKI_PS, NULL, NOW, pub, why), E_AUTH);
    assert_int_equal(pki_chain_load(at("root"), &c), E_OK);
    assert_int_equal(pki_verify(t.root, c.der, 1, PKI_PS, NULL, NOW, pub, why), E_AUTH);
}

static void issuing_refuses(void **state)
{
    (void)state;
    const char *const names[] = {"a,DNS:b", "a b", "*.example", "a:b", "a\nb", "a;b"};
    struct pki_subject s = {"x", NULL, NOW, 5};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        s.dns_name = names[i];
        assert_int_equal(pki_issue(at("root"), &t.ca, &s, PKI_PS, t.ps.pub, at("x2")), E_PARSE);
    }
    char long_name[300];
    memset(long_name, 'a', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    s.dns_name = long_name;
    assert_int_equal(pki_issue(at("root"), &t.ca, &s, PKI_PS, t.ps.pub, at("x2")), E_PARSE);
    s.dns_name = "a.example";
    assert_int_equal(pki_issue(at("none"), &t.ca, &s, PKI_PS, t.ps.pub, at("x2")), E_NOTFOUND);
    assert_int_equal(pki_issue(at("root"), &t.ps, &s, PKI_PS, t.ps.pub, at("x2")), E_CRYPTO);
    uint8_t bad[P256_POINT_BYTES];
    memcpy(bad, t.ps.pub, sizeof bad);
    bad[64] ^= 1;
    assert_int_equal(pki_issue(at("root"), &t.ca, &s, PKI_PS, bad, at("x2")), E_CRYPTO);
    assert_int_equal(access(at("x2"), F_OK), -1); /* and leaves no file */
    assert_int_equal(pki_issue(at("root"), &t.ca, &s, PKI_PS, t.ps.pub, "/nowhere/x"), E_IO);
}

static void root_files(void **state)
{
    (void)state;
    static char two[16384], text[4096];
    struct pki_root *r = NULL;
    size_t live = mem_live();
    uint8_t pub[P256_POINT_BYTES];
    char why[PKI_WHY_MAX];
    assert_int_equal(pki_root_load(at("none"), &r), E_NOTFOUND);
    const char *const garbage[] = {
        "", "garbage\n", "-----BEGIN CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n\xff\n-----END CERTIFICATE-----\n"};
    size_t n = get("other", text, sizeof text);
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        put("x", garbage[i], strlen(garbage[i]));
        assert_int_equal(pki_root_load(at("x"), &r), E_PARSE);
        /* behind a good one it is not overlooked: one of two roots would be missing */
        snprintf(two, sizeof two, "%s%s", text, garbage[i]);
        bool harmless = i < 2;
        assert_int_equal(pki_root_parse(view_of(two), &r), harmless ? E_OK : E_PARSE);
        if (harmless) {
            pki_root_free(r);
            r = NULL;
        }
    }
    assert_null(r);
    memcpy(two, text, n);
    size_t m = get("root", two + n, sizeof two - n);
    put("x", two, n + m);
    assert_int_equal(pki_root_load(at("x"), &r), E_OK); /* two roots */
    assert_int_equal(pki_verify(r, t.ps_chain.der, 1, PKI_PS, NULL, NOW, pub, why), E_OK);
    pki_root_free(r);
    r = NULL;
    mem_fail_at(0);
    assert_int_equal(pki_root_load(at("x"), &r), E_NOMEM);
    mem_fail_at(-1);
    assert_int_equal(mem_live(), live);
}

static void chain_files(void **state)
{
    (void)state;
    static struct pki_chain c;
    static char text[32768], one[4096];
    size_t n = get("ps", one, sizeof one), all = 0;
    assert_int_equal(pki_chain_load(at("none"), &c), E_NOTFOUND);
    put("x", "nothing", 7);
    assert_int_equal(pki_chain_load(at("x"), &c), E_PARSE);
    for (size_t i = 1; i <= 6; i++, all += n) {
        memcpy(text + all, one, n);
        put("x", text, all + n);
        assert_int_equal(pki_chain_load(at("x"), &c), i <= 5 ? E_OK : E_RANGE);
        assert_int_equal(c.n, i <= 5 ? i : 5);
        assert_true(view_eq(c.der[c.n - 1], t.ps_chain.der[0]));
    }
    put("x", text, n + n / 2); /* the second is cut off */
    assert_int_equal(pki_chain_load(at("x"), &c), E_PARSE);
}

static void key_files(void **state)
{
    (void)state;
    struct p256_key k, unset;
    struct stat st;
    char text[4096];
    memset(&k, 0x5a, sizeof k);
    unset = k;
    assert_int_equal(pki_key_load(at("key"), &k), E_NOTFOUND);
    assert_int_equal(pki_key_save(at("key"), &t.ps), E_OK);
    assert_int_equal(pki_key_save(at("key"), &t.gc), E_EXISTS);
    assert_int_equal(pki_key_save("/nowhere/key", &t.gc), E_IO);
    assert_int_equal(stat(at("key"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(chmod(at("key"), 0640), 0);
    assert_int_equal(pki_key_load(at("key"), &k), E_DENIED);
    assert_int_equal(chmod(at("key"), 0600), 0);
    assert_int_equal(symlink(at("key"), at("link")), 0);
    assert_int_equal(pki_key_load(at("link"), &k), E_DENIED);
    assert_memory_equal(&k, &unset, sizeof k);
    assert_int_equal(pki_key_load(at("key"), &k), E_OK);
    assert_true(secret_eq(&k.d, &t.ps.d));
    assert_memory_equal(k.pub, t.ps.pub, sizeof k.pub);
    k = unset;
    size_t n = get("key", text, sizeof text);
    for (size_t cut = 0; cut < n - 1; cut += 9) {
        put("key", text, cut);
        assert_int_equal(pki_key_load(at("key"), &k), E_PARSE);
    }
    /* another curve */
    static const char p384[] = "-----BEGIN PRIVATE KEY-----\n"
                               "MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDDmtjGG4o1sqpmoKRgT\n"
                               "gZ2nG213edFc995JNye7YuMXEqZ6kAH5UIRfHpTTcGEHh0ehZANiAASWC6UEsF5Z\n"
                               "q/keKxWyCFnFdLfYGif7RnNBp1i+ts1+tvQYTi6Uni0xzvB3Vu7KbiDxVYSK2T0G\n"
                               "obHYsOXFDGWpaEODueuPt/4boV+rWznV6d4v5C/PZNWXosMxkGuLa+M=\n"
                               "-----END PRIVATE KEY-----\n";
    put("key", p384, sizeof p384 - 1);
    assert_int_equal(pki_key_load(at("key"), &k), E_PARSE);
    assert_memory_equal(&k, &unset, sizeof k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_believed),
        cmocka_unit_test(every_octet_matters),
        cmocka_unit_test(roles_of_certificates),
        cmocka_unit_test(issuing_refuses),
        cmocka_unit_test(root_files),
        cmocka_unit_test(chain_files),
        cmocka_unit_test(key_files),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
