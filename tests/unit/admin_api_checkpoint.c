/* Checkpoints of the audit log: the text that is signed, the key's name, and that others can
 * verify.
 */
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

#include "admin_api/checkpoint.h"
#include "base/crypto.h"
#include "base/ec_sign.h"
#include "base/pki.h"

static char dir[32], path[64];

static int setup(void **state)
{
    struct p256_key k = {.d.n = 0};
    (void)state;
    strcpy(dir, "/tmp/cpXXXXXX");
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/audit.key", dir);
    return p256_generate(&k) == E_OK && pki_key_save(path, &k) == E_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

static void the_text_is_fixed(void **state)
{
    char text[CHECKPOINT_TEXT_MAX], hash[65];
    (void)state;

    memset(hash, 'a', 64);
    hash[64] = 0;
    size_t n = checkpoint_text(text, 17, hash, "2026-11-24T14:03:11.000123Z");
    assert_int_equal(n, strlen(text));
    assert_string_equal(text, "headgate audit checkpoint\n17\n"
                              "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"
                              "2026-11-24T14:03:11.000123Z\n");
    n = checkpoint_text(text, UINT64_MAX, hash, "9999-12-31T23:59:59.999999Z"); /* the longest */
    assert_true(n < CHECKPOINT_TEXT_MAX);
}

static void others_verify_with_the_public_key(void **state)
{
    struct ec_key *k = NULL;
    struct ec_public *p = NULL;
    char pem[CHECKPOINT_PEM_MAX], command[200], line[80] = "", want[65];
    uint8_t id[32], signature[EC_SIGNATURE_BYTES];
    (void)state;

    assert_int_equal(ec_key_load(path, &k), E_OK);
    assert_int_equal(ec_key_public(k, pem, 16, id), E_RANGE);
    assert_int_equal(ec_key_public(k, pem, sizeof pem, id), E_OK);
    assert_int_equal(ec_public_read(view_of(pem), &p), E_OK);
    assert_int_equal(ec_sign(k, VIEW("text"), signature), E_OK);
    assert_int_equal(ec_verify(p, VIEW("text"), signature), E_OK);
    assert_int_equal(ec_verify(p, VIEW("texT"), signature), E_AUTH);
    /* Another implementation names the key the same. */
    snprintf(command, sizeof command,
             "openssl pkey -in %s -pubout -outform DER | sha256sum | cut -c1-64", path);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    pclose(f);
    hex_put(id, sizeof id, want);
    assert_memory_equal(line, want, 64);
    ec_public_free(p);
    ec_key_free(k);
}

static void a_key_that_is_none_is_named(void **state)
{
    struct checkpoints *c = NULL;
    char why[200] = "", other[80];
    struct checkpoints_cfg cfg = {
        .conninfo = "host=/nonexistent", .key = other, .rows = 1, .every_ms = 100};
    (void)state;

    snprintf(other, sizeof other, "%s/none.key", dir);
    assert_int_equal(checkpoints_open(&cfg, &c, why, sizeof why), E_NOTFOUND);
    assert_non_null(strstr(why, "none.key"));
    cfg.key = path;
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(checkpoints_open(&cfg, &c, why, sizeof why), E_DENIED);
    assert_non_null(strstr(why, "others than its owner"));
    assert_int_equal(chmod(path, 0600), 0);
    cfg.conninfo = "nonsense";
    assert_int_equal(checkpoints_open(&cfg, &c, why, sizeof why), E_PARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_text_is_fixed),
        cmocka_unit_test(others_verify_with_the_public_key),
        cmocka_unit_test(a_key_that_is_none_is_named),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
